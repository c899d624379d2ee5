"""Reports of what happened: events, sessions and metrics."""
