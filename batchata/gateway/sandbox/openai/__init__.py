"""What the sandbox says as OpenAI."""
