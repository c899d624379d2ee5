"""What the mapper is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchata.core.result import Citation


@dataclass(frozen=True, slots=True)
class CitedBlock:
    """One block of an answer: the model's own words, and the passages they rest on."""

    text: str
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CitationMap:
    """Which citations stand behind which field of an answer."""

    #: field path, as "items[0].price", to its citations, the best first; each has `confidence`,
    #: `match_reason` and a number 0 to 1 in `metadata["score"]`
    fields: dict[str, list[Citation]] = field(default_factory=dict)
    #: paths of fields that could have had a citation and have none
    unmapped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
