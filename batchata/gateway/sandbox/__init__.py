"""A vendor that gives scripted answers, over the real protocols."""
