"""How files come: HTTP, S3, zip archives by byte range, members of packages."""
