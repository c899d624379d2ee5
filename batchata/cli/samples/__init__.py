"""Sample data of the demo: our own texts."""
