"""Configuration files: read strictly, variables put in, mistakes named by their lines."""
