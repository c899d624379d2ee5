"""Bytes between client and upstream: connections, headers, bodies, and access control."""
