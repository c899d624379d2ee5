"""The vendors' protocols: shapes, words and refusals that the batch APIs and the sandbox share."""
