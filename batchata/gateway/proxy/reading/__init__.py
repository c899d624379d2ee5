"""What an answer says of itself, read from a copy beside the relay."""
