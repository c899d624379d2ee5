"""When two questions are the same: strictly, but for parameters, or but for the prompt."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from batchata.core.job import digest
from batchata.core.submission import Shape

_QUESTION = (
    "messages",
    "input",
    "system",
    "instructions",
    "prompt",  # one that the vendor keeps
    "previous_response_id",
    "conversation",
)
#: the parts of a body that say what shape the answer has
_FORMAT = ("response_format", "text", "tools", "tool_choice")


class Fingerprints(NamedTuple):
    """128 bits each."""

    strict: bytes  #: provider, endpoint and the whole body
    but_params: bytes  #: provider, endpoint, model, question and schema
    but_prompt: bytes  #: provider, endpoint, model, schema and the last message alone


def strict_fingerprint(shape: Shape, body: bytes) -> bytes:
    """The strict fingerprint alone, without reading the body."""
    return digest(shape.provider.encode(), shape.endpoint.encode(), body)


def fingerprints(shape: Shape, body: bytes) -> Fingerprints:
    """All three of a request body."""
    request: dict[str, Any] = orjson.loads(body)
    base = (
        shape.provider.encode(),
        shape.endpoint.encode(),
        shape.model.encode(),
        (shape.schema or "").encode(),
    )
    question = {name: request[name] for name in _QUESTION if name in request}
    answer_format = {name: request[name] for name in _FORMAT if name in request}
    asked = request.get("messages") or request.get("input")
    last = asked[-1] if isinstance(asked, list) and asked else asked
    options = orjson.OPT_SORT_KEYS
    formatted = orjson.dumps(answer_format, option=options)
    return Fingerprints(
        strict_fingerprint(shape, body),
        digest(*base, formatted, orjson.dumps(question, option=options)),
        digest(*base, formatted, orjson.dumps(last, option=options)),
    )
