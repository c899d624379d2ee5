"""The vendors' protocols: formats and refusals that the batch APIs and the sandbox share."""
