"""What happened, told: events, sessions and metrics."""
