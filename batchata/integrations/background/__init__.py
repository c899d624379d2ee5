"""Answers of OpenAI's background mode, begun by any program, fetched later."""

from __future__ import annotations

from batchata.integrations.background.retrieving import (
    retrieve_background_responses as retrieve_background_responses,
)

__all__ = ["retrieve_background_responses"]
