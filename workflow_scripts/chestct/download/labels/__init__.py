"""What readers and label tables say of scans and slices."""
