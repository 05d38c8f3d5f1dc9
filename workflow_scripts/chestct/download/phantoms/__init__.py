"""Generated scans and readers, for the phantom sources."""
