"""Recorded exchanges, and a gateway that answers from them."""
