"""A gateway's configuration: sections of its file, flags, variables, and interceptors by name."""
