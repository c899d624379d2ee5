"""A vendor made of scripted answers, over the real protocols."""
