"""Bytes between client and upstream: connections, headers, bodies, and who may come in."""
