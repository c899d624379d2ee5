"""A result as the page needs it: a short row for the table, and all details for its panel."""

from __future__ import annotations

from typing import Any, Final

import orjson

from batchata.core.request_content import RequestContent
from batchata.core.result import JobResult
from batchata.core.status import CODES
from batchata.report.fields import clip, flatten
from batchata.report.passages import (
    FOUND,
    MISSING,
    Viewer,
    citation_row,
    cited_of,
    field_rows,
)

SNIPPET: Final = 160
MOST_ANSWER: Final = 100_000
MOST_QUESTION: Final = 4_000
_MOST_EXTRA: Final = 20_000


class Names:
    """Gives repeated names a number each."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The number of a name."""
        if name not in self._numbers:
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return self._numbers[name]


def seconds_of(result: JobResult) -> float | None:
    """Seconds from the vendor's acceptance to the answer; None when either is not known."""
    if result.submitted_at is None or result.finished_at is None:
        return None
    return max(0.0, (result.finished_at - result.submitted_at).total_seconds())


def detail_of(result: JobResult, asked: RequestContent, viewer: Viewer) -> dict[str, Any]:
    """Everything about one result, without what is empty."""
    cited = cited_of(result)
    fields, fields_left = field_rows(result, cited)
    detail = {
        "id": result.job_id,
        "error": result.error,
        "answer": clip(result.raw_response, MOST_ANSWER) if result.raw_response else None,
        "question": clip(asked.question, MOST_QUESTION),
        "files": [source.name for source in asked.sources],
        "fields": fields,
        "fields_left": fields_left,
        "citations": [citation_row(each) for each in cited.citations],
        "citations_left": cited.left_out,
        "views": viewer.views(cited.citations, asked.sources),
        "metadata": [[name, text] for name, text, _ in flatten(result.metadata or {})[0]],
        "thinking": clip(result.thinking, _MOST_EXTRA) if result.thinking else None,
        "extra": _json(result.extra),
        **_facts(result),
    }
    return {name: value for name, value in detail.items() if value not in (None, "", [], 0)}


def row_of(result: JobResult, detail: dict[str, Any], models: Names, reasons: Names) -> list[Any]:
    """The result as a row of the table, in the order that the page's script expects."""
    values = [field for field in detail.get("fields", ()) if field[2] != "none"]
    seconds = seconds_of(result)
    return [
        result.job_id,
        CODES[result.status],
        models.number(result.model),
        reasons.number(result.reason) if result.reason else None,
        float(result.cost_usd),
        result.input_tokens,
        result.output_tokens,
        None if seconds is None else round(seconds, 3),
        _snippet(result, values),
        len(values),
        sum(1 for field in values if FOUND in _standings(field, detail)),
        sum(each[-1] == FOUND for each in detail.get("citations", ())),
        sum(1 for field in values if MISSING in _standings(field, detail)),
    ]


def _standings(field: list[Any], detail: dict[str, Any]) -> set[str]:
    """Whether the citations of a field were found in the documents."""
    return {detail["citations"][number][-1] for number in field[3]}


def _snippet(result: JobResult, values: list[list[Any]]) -> str:
    """The beginning of what came back: the error, else the fields, else the text."""
    if result.error:
        text = result.error
    elif values:
        text = " · ".join(f"{path}: {value}" for path, value, *_ in values[:12])
    else:
        text = result.raw_response or ""
    short = " ".join(text[: SNIPPET * 4].split())
    return short if len(short) <= SNIPPET else short[: SNIPPET - 1] + "…"


def _facts(result: JobResult) -> dict[str, Any]:
    return {
        "provider": result.provider,
        "batch_id": result.batch_id,
        "request_id": result.request_id,
        "finish_reason": result.finish_reason,
        "attempts": result.attempts,
        "submitted": _time(result.submitted_at),
        "finished": _time(result.finished_at),
        "cost": f"{result.cost_usd.normalize():f}" if result.cost_usd else None,
        "cache_read": result.cache_read_tokens,
        "cache_write": result.cache_write_tokens,
        "reasoning": result.reasoning_tokens,
    }


def _time(moment: Any) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _json(value: Any) -> str | None:
    if not value:
        return None
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str)
    return clip(text.decode(), _MOST_EXTRA)
