"""Floor 2: the state file."""
