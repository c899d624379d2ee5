"""What a call may cost and what it did, against a limit that survives a kill."""
