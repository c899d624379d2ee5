"""The proxy: one process on this machine that sees, limits, records and replays every call."""
