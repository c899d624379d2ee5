"""Estimates how many tokens a PDF takes."""

from __future__ import annotations

from pathlib import Path

from batchata.core.tokens import token_count_simple
from batchata.documents.pdf import count_pages, read_pdf

#: tokens a vendor adds around a document
_FRAME = 100


def estimate_pdf_tokens(
    path: str | Path,
    prompt: str | None = None,
    pdf_token_multiplier: float = 1.0,
    tokens_per_page: int = 2000,
) -> int:
    """Tokens of all pages and the prompt; ValidationError for a file that cannot be read."""
    pages = count_pages(read_pdf(path), Path(path).name) * tokens_per_page * pdf_token_multiplier
    return int(pages) + (token_count_simple(prompt) if prompt else 0) + _FRAME
