"""Those who are told what a run does: displays, result files, logs."""
