"""Download step: DICOM series on disk, a series table, label tables, weight files."""
