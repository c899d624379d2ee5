"""Floor 1: how files get to a disk, the same way for everybody who writes one."""
