"""Floor 1: the one way in which files are written to disk."""
