"""The sinks of a run's events: displays, result files, logs."""
