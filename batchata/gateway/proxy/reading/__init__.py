"""What an answer says about itself, read from a copy beside the relay."""
