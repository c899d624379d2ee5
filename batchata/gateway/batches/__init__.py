"""The vendors' batch APIs in front of any live server: a submitted batch is a run."""
