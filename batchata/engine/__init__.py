"""Floor 2: what happens when. Knows the world by its ports only."""
