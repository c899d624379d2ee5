"""What comes back for a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from batchata.core.errors import ValidationError
from batchata.core.model_code import plain
from batchata.core.status import JobStatus
from batchata.core.usage import Usage


class Reason(StrEnum):
    """Why a job did not succeed."""

    INVALID_REQUEST = "invalid_request"  #: the vendor refused the request; it was not billed
    MODEL_NOT_FOUND = "model_not_found"  #: the vendor does not have it, or not for this key
    BAD_INPUT = "bad_input"  #: the job could not be built, nothing was sent
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    EXPIRED = "expired"  #: the vendor did not get to it in its time window
    VENDOR_CANCELLED = "vendor_cancelled"
    MISSING = "missing"  #: the vendor's files do not mention it
    UNREADABLE = "unreadable"  #: the vendor's line for it cannot be read
    BATCH_FAILED = "batch_failed"  #: the vendor refused the whole file it was in
    ACCOUNT = "account"  #: key, permission, credit or spend limit
    REFUSED = "refused"  #: the model refused to answer; it was billed
    FILTERED = "filtered"  #: a content filter stopped the answer; it was billed
    TRUNCATED = "truncated"  #: the answer hit max_tokens; it was billed
    INVALID_ANSWER = "invalid_answer"  #: the answer does not fit the schema; it was billed
    COST_LIMIT = "cost_limit"
    TIME_LIMIT = "time_limit"
    CANCELLED = "cancelled"  #: by the user
    OUTCOME_UNKNOWN = "outcome_unknown"  #: a live call without an answer; it may have been billed
    RESULTS_GONE = "results_gone"  #: the vendor gives them out no more; it may have been billed


#: unbilled and worth another attempt by itself
TRANSIENT: Final = frozenset(
    {
        Reason.SERVER_ERROR,
        Reason.OVERLOADED,
        Reason.RATE_LIMITED,
        Reason.EXPIRED,
        Reason.VENDOR_CANCELLED,
        Reason.MISSING,
        Reason.OUTCOME_UNKNOWN,
    }
)
#: paid for: asked again only when the user says so
PAID_FAILURES: Final = frozenset(
    {
        Reason.REFUSED,
        Reason.FILTERED,
        Reason.TRUNCATED,
        Reason.INVALID_ANSWER,
        Reason.UNREADABLE,
        Reason.RESULTS_GONE,
    }
)
#: the vendor may have billed an answer that never came: its bound stays counted
MAYBE_BILLED: Final = frozenset({Reason.OUTCOME_UNKNOWN, Reason.RESULTS_GONE})


class Failure(msgspec.Struct, frozen=True):
    """Why one attempt gave no usable answer."""

    reason: Reason
    message: str
    code: str | None = None
    status: int | None = None
    request_id: str | None = None
    cost_usd: Decimal | None = None  #: what it cost all the same, where a provider says so


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage of a source that an answer rests on."""

    text: str  #: the source's own words
    source: str  #: title or name of the document
    page: int | None = None
    metadata: Mapping[str, Any] | None = None
    confidence: str | None = None
    match_reason: str | None = None
    start: int | None = None  #: first character, page or block, in the vendor's own counting
    end: int | None = None
    document_index: int | None = None

    @property
    def is_found(self) -> bool | None:
        """Whether a quote stands in its document; None if that was not checked."""
        return (self.metadata or {}).get("found")

    def to_dict(self) -> dict[str, Any]:
        """The citation as JSON-ready values."""
        return {
            name: value
            for name in self.__slots__
            if (value := getattr(self, name)) is not None or name in ("page", "metadata")
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Citation:
        """A citation from `to_dict()`."""
        return cls(**data)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor's answer in our words."""

    text: str
    finish_reason: str  #: "stop", "length", "tool_calls", "refusal", "content_filter", …
    usage: Usage | None  #: None: the vendor did not say
    model: str = ""
    service_tier: str | None = None
    request_id: str | None = None
    refusal: str | None = None
    thinking: str | None = None
    #: what plain text cannot hold: tool calls, embeddings, further choices
    extra: Mapping[str, Any] | None = None
    citations: tuple[Citation, ...] = ()
    #: the answer's parts and what each rests on, where the vendor says
    blocks: tuple[tuple[str, tuple[Citation, ...]], ...] = ()
    price_factor: Decimal = Decimal(1)  #: of all prices, for where it was answered
    cost_usd: Decimal | None = None  #: where a provider says it itself; None: by usage and price


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came back for one job; `error` is None when it succeeded."""

    job_id: str
    raw_response: str | None = None
    parsed_response: Any = None  #: the response model's instance, or JSON that fits the schema
    citations: list[Citation] | None = None
    citation_mappings: dict[str, list[Citation]] | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    error: str | None = None
    batch_id: str | None = None
    status: JobStatus = JobStatus.SUCCEEDED
    reason: Reason | None = None
    model: str = ""
    provider: str = ""
    finish_reason: str | None = None
    request_id: str | None = None
    attempts: int = 0
    submitted_at: datetime | None = None  #: aware UTC
    finished_at: datetime | None = None  #: aware UTC
    metadata: Any = None  #: as it was given with the job
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    thinking: str | None = None
    extra: dict[str, Any] | None = field(default=None)

    @property
    def response(self) -> str | None:
        """The answer's text, the same as `raw_response`."""
        return self.raw_response

    @property
    def is_success(self) -> bool:
        """True when the job succeeded."""
        return self.error is None

    @property
    def is_truncated(self) -> bool:
        """True when the answer hit `max_tokens`."""
        return self.finish_reason == "length"

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    @property
    def usage(self) -> Usage:
        """The tokens of this job as one value."""
        return Usage(
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
        )

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values: costs as numbers, times as ISO 8601."""
        return {
            **row_of(self),
            "status": self.status.value,
            "reason": self.reason.value if self.reason else None,
            "submitted_at": self.submitted_at.isoformat() if self.submitted_at else None,
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
        }

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], response_model: type[BaseModel] | None = None
    ) -> JobResult:
        """A result from `to_dict()`; give the response model to get its instance back.

        Raises ValidationError for anything else.
        """
        try:
            return cls._from_dict(data, response_model)
        except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise ValidationError(
                f"{data!r:.80} is not a result: {error}", hint="give what to_dict() returned"
            ) from error

    @classmethod
    def _from_dict(
        cls, data: Mapping[str, Any], response_model: type[BaseModel] | None
    ) -> JobResult:
        values = {key: value for key, value in data.items() if key in cls.__slots__}
        values["cost_usd"] = Decimal(str(data.get("cost_usd") or 0))
        values["status"] = JobStatus(
            data.get("status") or ("failed" if data.get("error") else "succeeded")
        )
        values["reason"] = Reason(data["reason"]) if data.get("reason") else None
        for name in ("submitted_at", "finished_at"):
            values[name] = datetime.fromisoformat(data[name]) if data.get(name) else None
        if data.get("citations"):
            values["citations"] = [Citation.from_dict(each) for each in data["citations"]]
        if data.get("citation_mappings"):
            values["citation_mappings"] = {
                name: [Citation.from_dict(each) for each in found]
                for name, found in data["citation_mappings"].items()
            }
        if response_model is not None and values.get("parsed_response") is not None:
            values["parsed_response"] = response_model.model_validate(values["parsed_response"])
        return cls(**values)

    def save_to_json(self, filepath: str | Path, indent: int | None = 2) -> None:
        """Write the result as a JSON file, making the folders above it."""
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(self.to_dict(), indent=indent, ensure_ascii=False), encoding="utf-8"
        )


def row_of(result: JobResult) -> dict[str, Any]:
    """The fields of `to_dict()` for a writer that knows statuses and times by itself."""
    return {
        "job_id": result.job_id,
        "status": result.status,
        "raw_response": result.raw_response,
        "parsed_response": plain(result.parsed_response),
        "citations": _citations(result.citations),
        "citation_mappings": {
            name: _citations(found) for name, found in result.citation_mappings.items()
        }
        if result.citation_mappings
        else None,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "cache_read_tokens": result.cache_read_tokens,
        "cache_write_tokens": result.cache_write_tokens,
        "reasoning_tokens": result.reasoning_tokens,
        "cost_usd": float(result.cost_usd),
        "error": result.error,
        "reason": result.reason,
        "batch_id": result.batch_id,
        "provider": result.provider,
        "model": result.model,
        "finish_reason": result.finish_reason,
        "request_id": result.request_id,
        "attempts": result.attempts,
        "submitted_at": result.submitted_at,
        "finished_at": result.finished_at,
        "metadata": result.metadata,
        "thinking": result.thinking,
        "extra": result.extra,
    }


def _citations(found: list[Citation] | None) -> list[dict[str, Any]] | None:
    return [citation.to_dict() for citation in found] if found else None
