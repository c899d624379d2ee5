"""Doors for frameworks; each needs an extra of its own."""
