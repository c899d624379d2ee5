"""Whether an answer is what was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson
from pydantic import BaseModel

from batchata.core.citing import CitedBlock, map_citations, parse_labelled
from batchata.core.fits import Checker
from batchata.core.parse import parse_answer
from batchata.core.result import Answer, Citation, Failure, Reason


class Verdict(msgspec.Struct, frozen=True):
    """What an answer amounts to: `failure` None is success."""

    failure: Failure | None = None
    parsed: bytes | None = None  #: JSON
    repairs: tuple[str, ...] = ()  #: what was changed to read the answer
    mappings: Mapping[str, list[Citation]] = {}  #: field path → what it rests on


_FINE = Verdict()


def judge(
    answer: Answer,
    model: type[BaseModel] | None,
    schema: Mapping[str, Any] | Checker | None,
    *,
    lines_of: type[BaseModel] | Mapping[str, Any] | None = None,
) -> Verdict:
    """Success, or why a paid answer cannot be used; its text is kept either way.

    With `lines_of` the answer was asked for as labelled lines that say the fields of it.
    """
    if answer.finish_reason == "refusal":
        said = answer.refusal or answer.text[:200]
        return Verdict(Failure(Reason.REFUSED, f"the model refused: {said}"))
    if answer.finish_reason == "content_filter":
        return Verdict(Failure(Reason.FILTERED, "a content filter stopped the answer"))
    if model is None and schema is None:
        if answer.finish_reason == "length" and not answer.text and not answer.extra:
            return Verdict(_truncated("before the answer began"))
        return _FINE
    blocks = [CitedBlock(text, cited) for text, cited in answer.blocks]
    if lines_of is None:
        parsed = parse_answer(answer.text, model=model, schema=schema)
    else:
        parsed = parse_labelled(blocks or answer.text, lines_of)
    if not isinstance(parsed, Failure):
        return Verdict(None, parsed.json, parsed.repairs, _mapped(blocks, parsed.value, model))
    if answer.finish_reason == "length":
        return Verdict(_truncated("and is not complete JSON"))
    return Verdict(parsed)


def _mapped(
    blocks: Sequence[CitedBlock], value: Any, model: type[BaseModel] | None
) -> Mapping[str, list[Citation]]:
    if not any(block.citations for block in blocks):
        return {}
    return map_citations(blocks, value, model=model).fields


def _truncated(where: str) -> Failure:
    return Failure(Reason.TRUNCATED, f"the answer hit max_tokens {where}; raise max_tokens")


def extra_json(
    answer: Answer,
    repairs: Sequence[str] = (),
    mappings: Mapping[str, Sequence[Citation]] | None = None,
) -> bytes | None:
    """What a result keeps beside the text, as JSON; None when there is nothing."""
    if not (answer.extra or answer.thinking or answer.citations or repairs):
        return None
    kept: dict[str, Any] = {}
    if answer.extra:
        kept["extra"] = answer.extra
    if repairs:
        kept["extra"] = {**kept.get("extra", {}), "repaired": list(repairs)}
    if answer.thinking:
        kept["thinking"] = answer.thinking
    if answer.citations:
        kept["citations"] = [citation.to_dict() for citation in answer.citations]
    if mappings:
        kept["citation_mappings"] = {
            path: [citation.to_dict() for citation in found] for path, found in mappings.items()
        }
    try:
        return orjson.dumps(kept)
    except TypeError:  # a number beyond 64 bits, in a tool call
        return json.dumps(kept).encode()
