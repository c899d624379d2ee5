"""What a result keeps beside the text of its answer: repairs, thoughts, citations and quotes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from batchata.core.json_bytes import json_bytes
from batchata.core.result import Answer, Citation
from batchata.core.verdict import Verdict


def extra_json(answer: Answer, verdict: Verdict) -> bytes | None:
    """All of it as JSON; None when there is nothing."""
    kept: dict[str, Any] = {}
    if answer.extra:
        kept["extra"] = answer.extra
    if verdict.repairs:
        kept["extra"] = {**kept.get("extra", {}), "repaired": list(verdict.repairs)}
    if answer.thinking:
        kept["thinking"] = answer.thinking
    if answer.citations:
        kept["citations"] = [citation.to_dict() for citation in answer.citations]
    if verdict.mappings:
        kept["citation_mappings"] = _mappings_json(verdict.mappings)
    if verdict.quotes:
        kept |= {"quotes": verdict.quotes, "unstated": verdict.unstated}
    return json_bytes(kept) if kept else None


def quotes_of(extra: bytes | None) -> dict[str, str]:
    """The quotes of an answer that have not been looked up yet, by field path."""
    if extra is None or b'"quotes"' not in extra:
        return {}
    return dict(orjson.loads(extra).get("quotes") or {})


def with_citations(extra: bytes, mappings: Mapping[str, Sequence[Citation]]) -> bytes:
    """The same JSON, with citations in place of its quotes."""
    kept = orjson.loads(extra)
    kept.pop("quotes", None)
    mappings = doubted(mappings, kept.pop("unstated", ()))
    kept["citation_mappings"] = _mappings_json(mappings)
    found = found_in(mappings)
    if found:
        kept["citations"] = [*kept.get("citations", ()), *(each.to_dict() for each in found)]
    return json_bytes(kept)


def doubted(
    mappings: Mapping[str, Sequence[Citation]], paths: Sequence[str]
) -> dict[str, list[Citation]]:
    """The citations, with low confidence in those whose passages do not state the values."""
    unsure = set(paths)
    return {
        path: [_doubted(each) if path in unsure and each.is_found else each for each in found]
        for path, found in mappings.items()
    }


def _doubted(citation: Citation) -> Citation:
    return replace(
        citation,
        confidence="low",
        match_reason=f"{citation.match_reason}, but it does not state the value",
        metadata={**(citation.metadata or {}), "states_value": False},
    )


def found_in(mappings: Mapping[str, Sequence[Citation]]) -> list[Citation]:
    """The passages that quotes were found in, each once."""
    found = [each for cited in mappings.values() for each in cited if each.is_found]
    places = {(each.document_index, each.page, each.start, each.end): each for each in found}
    return list(places.values())


def _mappings_json(mappings: Mapping[str, Sequence[Citation]]) -> dict[str, Any]:
    return {path: [each.to_dict() for each in found] for path, found in mappings.items()}
