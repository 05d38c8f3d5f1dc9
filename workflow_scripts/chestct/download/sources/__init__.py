"""Sources of scans: one module a dataset, which lists and obtains series and gives label tables."""
