"""The mapper under the name and in the form that users of batchata 0.4 know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from batchata.core.citing.blocks import CitedBlock
from batchata.core.citing.mapping import map_blocks
from batchata.core.result import Citation


def map_citations_to_fields(
    citation_blocks: list[tuple[str, Citation]],
    parsed_response: BaseModel | Mapping[str, Any] | list[Any] | None,
) -> tuple[dict[str, list[Citation]], str | None]:
    """Citations by field, and a warning when more than half of the fields have none.

    Each pair is the words around a citation, and the citation.
    """
    blocks = [CitedBlock(text, (citation,)) for text, citation in citation_blocks]
    found = map_blocks(blocks, parsed_response, between="\n")
    return found.fields, found.warnings[0] if found.warnings else None
