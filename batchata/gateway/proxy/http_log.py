"""What is logged of requests that are no HTTP: that they came, and never a word of them.

The parser quotes the line it could not read, and that may be the one with the key.
"""

from __future__ import annotations

import logging
from typing import Final

from aiohttp.http import HttpProcessingError

LOG: Final = logging.getLogger("batchata.gateway.http")


class _WithoutText(logging.Filter):
    """Takes the parser's words out of a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg = "a request was refused: it is not HTTP as it should be (%s)"
            record.args = (type(error).__name__,)
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


LOG.addFilter(_WithoutText())
