"""Asking for an answer that fits a schema, by a vendor's own mode, a tool, or in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from pydantic import BaseModel

from batchata.core.citing import with_quotes
from batchata.core.errors import ValidationError
from batchata.core.job import Job, Structured
from batchata.core.schema import Dialect, Normalised, loose, normalise, source_schema

_TOOL_WORDS: Final = "Gives the answer. Call it once, with the whole answer."
#: how much of a refused answer the model is shown again
_SHOWN_ANSWER: Final = 20_000
_SHOWN_ERRORS: Final = 10


class AskedSchema(NamedTuple):
    """The schema an answer must fit: as the vendor takes it, and whole for our own check."""

    wire: Normalised
    source: str  #: JSON text
    mode: Structured


class AskedSchemas:
    """The schemas of a codec's jobs, each put into the vendor's form once."""

    def __init__(self, dialect: Dialect, *, is_strict: bool = True) -> None:
        self._dialect = dialect
        self._is_strict = is_strict  #: the vendor takes a subset of JSON Schema only
        self._known: dict[tuple[int, Structured, bool], tuple[Any, AskedSchema]] = {}

    def of(self, job: Job, mode: Structured) -> AskedSchema | None:
        """The job's schema; ValidationError when the vendor cannot be asked for it."""
        source = job.response_model or job.response_schema
        if source is None:
            return None
        key = (id(source), mode, job.verify_quotes)
        known = self._known.get(key)
        if known is None or known[0] is not source:
            known = self._known[key] = (source, self._asked(source, mode, job.verify_quotes))
        _check_tools(job, known[1])
        return known[1]

    def _asked(
        self, source: type[BaseModel] | Mapping[str, Any], mode: Structured, is_quoted: bool
    ) -> AskedSchema:
        said = with_quotes(source) if is_quoted else source
        is_strict = self._is_strict and mode == "native"
        wire = normalise(said, dialect=self._dialect) if is_strict else loose(said)
        return AskedSchema(wire, orjson.dumps(source_schema(source)).decode(), mode)


def _check_tools(job: Job, asked: AskedSchema) -> None:
    """Raise ValidationError for the user's tools where they clash with the one of the schema."""
    tools = job.params.get("tools") or ()
    names = [each.get("name") or (each.get("function") or {}).get("name") for each in tools]
    if asked.wire.name in names:
        raise ValidationError(
            f"a tool has the name of the schema, {asked.wire.name!r}", hint="rename the tool"
        )
    if asked.mode == "tool" and job.params.get("tool_choice") is not None:
        raise ValidationError(
            "the answer is asked for through a tool, and tool_choice names another",
            hint='leave out tool_choice, or write structured="native"',
        )


def tool_words(name: str) -> str:
    """The instruction for a model that may choose whether to call the tool."""
    return f"Give your answer by calling the tool {name!r}, once, with the whole answer."


def tool_description(asked: AskedSchema) -> str:
    """The description of the tool that takes the answer."""
    return str(asked.wire.schema.get("description") or _TOOL_WORDS)


def schema_words(asked: AskedSchema) -> str:
    """The schema in words, for a model without any mode for it."""
    text = orjson.dumps(asked.wire.schema).decode()
    return (
        "Answer with one JSON object and nothing else: no words around it, no code fence. "
        f"It must fit this JSON Schema:\n{text}"
    )


def reask_turns(answer: str, errors: Sequence[str]) -> list[dict[str, Any]]:
    """The turns that show a model its refused answer and what was wrong with it."""
    shown = answer.strip()
    if len(shown) > _SHOWN_ANSWER:
        shown = f"{shown[:_SHOWN_ANSWER]} (… {len(shown) - _SHOWN_ANSWER} characters left out)"
    listed = "\n".join(f"- {error}" for error in list(errors)[:_SHOWN_ERRORS])
    words = (
        "Your answer cannot be used:\n"
        f"{listed}\n"
        "Give the whole answer again, corrected, in the form that was asked for."
    )
    return [
        {"role": "assistant", "content": shown or "(no answer)"},
        {"role": "user", "content": words},
    ]


def with_turns(body: bytes, name: str, answer: str, errors: Sequence[str]) -> bytes:
    """A request body with those turns at the end of its list `name`."""
    request = orjson.loads(body)
    said = request.get(name)
    before = [{"role": "user", "content": said}] if isinstance(said, str) else list(said or ())
    request[name] = [*before, *reask_turns(answer, errors)]
    return orjson.dumps(request)
