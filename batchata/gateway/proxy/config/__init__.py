"""What a gateway is told: sections of its file, flags, variables, and interceptors by name."""
