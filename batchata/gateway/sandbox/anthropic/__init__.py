"""What the sandbox says as Anthropic."""
