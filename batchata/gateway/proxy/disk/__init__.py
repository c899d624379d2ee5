"""Writing to files without holding up calls."""
