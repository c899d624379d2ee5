"""Packs several rows into one question, and tells their answers apart by strict ids. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from batchata.core.parse import parse_answer
from batchata.core.result import Failure, JobResult, Reason
from batchata.frames.schema import ID, LISTS

#: returns why a row does not fit, or None
Check = Callable[[dict[str, Any]], str | None]
TEXT: Final = "input_text"
_SHOWN: Final = 3
_RAW_SHOWN: Final = 500


class RowAnswer(NamedTuple):
    """How one row ended."""

    status: str
    fields: dict[str, Any] | None = None
    error: str | None = None


class Row(NamedTuple):
    """One row of the table; `key` is a digest of everything asked about it."""

    number: int
    id: str
    text: str
    key: bytes


@dataclass(slots=True)
class Unpacked:
    """What an answer to a pack amounts to: each row is either in `good` or in `bad`."""

    good: list[tuple[Row, dict[str, Any]]] = field(default_factory=list)
    bad: list[tuple[Row, str]] = field(default_factory=list)


def pack(rows: Iterable[Row], rows_per_request: int) -> Iterator[list[Row]]:
    """The rows in packs, in order; rows with the same id never share one."""
    layers: list[list[Row]] = []
    seen: Counter[str] = Counter()
    for row in rows:
        layer = seen[row.id]
        seen[row.id] += 1
        if layer == len(layers):
            layers.append([])
        layers[layer].append(row)
    for ordered in layers:
        for start in range(0, len(ordered), rows_per_request):
            yield ordered[start : start + rows_per_request]


def question(rows: Sequence[Row]) -> str:
    """A pack as the model sees it."""
    return orjson.dumps([{ID: row.id, TEXT: row.text} for row in rows]).decode()


def unpack(
    rows: Sequence[Row], answers: Sequence[dict[str, Any]] | str, problem: Check
) -> Unpacked:
    """Match the answer's rows to the ids that were sent; whatever is doubtful is bad.

    `answers` holds the rows of the answer, or says why there are none.
    """
    found = Unpacked()
    if isinstance(answers, str):
        found.bad.extend((row, answers) for row in rows)
        return found
    if len(rows) == len(answers) == 1 and ID not in answers[0]:
        answers = [{ID: rows[0].id, **answers[0]}]  # nothing to mix up
    by_id: dict[str, list[dict[str, Any]]] = {}
    for answer in answers:
        by_id.setdefault(_id(answer), []).append(answer)
    for row in rows:
        mine = by_id.get(row.id, [])
        wrong = problem(mine[0]) if len(mine) == 1 else None
        if wrong is not None:
            found.bad.append((row, f"the row does not fit the schema: {wrong}"))
        elif len(mine) == 1:
            found.good.append((row, {**mine[0], ID: row.id}))
        else:
            had = f"{len(mine)} rows" if mine else "no row"
            invented = "" if mine else _invented(by_id, rows)
            found.bad.append((row, f"the answer has {had} with {ID} {row.id!r}{invented}"))
    return found


def unpack_result(rows: Sequence[Row], result: JobResult, problem: Check) -> Unpacked:
    """The rows of a job's result; a truncated or refused answer is good for none of them."""
    if result.is_truncated:
        return Unpacked(bad=[(row, "the answer hit max_tokens") for row in rows])
    if isinstance(result.parsed_response, (dict, list)):
        return unpack(rows, _listed(result.parsed_response), problem)
    text = result.raw_response
    if text is not None and (result.is_success or result.reason is Reason.INVALID_ANSWER):
        return unpack(rows, _answers(text), problem)
    return Unpacked(bad=[(row, result.error or "there is no answer") for row in rows])


def with_raw(why: str, result: JobResult) -> str:
    """What is wrong with an answer, along with its text."""
    text = result.raw_response
    return why if not text else f"{why}; the answer was: {text[:_RAW_SHOWN]}"


def _answers(text: str) -> list[dict[str, Any]] | str:
    """The rows of an answer, or why there are none."""
    parsed = parse_answer(text)
    if isinstance(parsed, Failure):
        start, end = text.find("{"), text.rfind("}")
        inner = parse_answer(text[start : end + 1]) if 0 <= start < end else parsed
        if isinstance(inner, Failure):
            return parsed.message
        parsed = inner
    return _listed(parsed.value)


def _listed(value: Any) -> list[dict[str, Any]] | str:
    """The rows of an answer's value, or why there are none."""
    if isinstance(value, dict):
        name = next((name for name in LISTS if name in value), None)
        if name is not None:
            value = value[name]
        if isinstance(value, dict) and (name is not None or ID in value):
            value = [value]
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        said = orjson.dumps(value)[:60].decode(errors="replace")
        return f"the answer is not a list of rows: {said}"
    return value


def _id(answer: Mapping[str, Any]) -> str:
    value = answer.get(ID)
    is_name = isinstance(value, (str, int)) and not isinstance(value, bool)
    return str(value) if is_name else ""


def _invented(by_id: Mapping[str, object], rows: Sequence[Row]) -> str:
    sent = {row.id for row in rows}
    strange = [repr(each) for each in by_id if each not in sent]
    if not strange:
        return ""
    more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
    return f"; it has rows for {', '.join(strange[:_SHOWN])}{more}, which were not sent"
