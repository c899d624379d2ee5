"""What the sandbox pretends: latency, limits and faults, as plain data that travels as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import orjson

HttpAction = Literal[
    "status",  # answer with an error status, do nothing
    "status_after",  # do the work, then answer with an error status
    "cut",  # close the connection, do nothing
    "cut_after",  # do the work, then close the connection without an answer
    "hang",  # never answer, do nothing
    "hang_after",  # do the work, then never answer
    "slow",  # answer after `seconds`
    "truncate",  # send a part of a download, then close the connection
    "stream_error",  # send an error event in the middle of a stream
]
ItemOutcome = Literal[
    "refusal",
    "length",
    "content_filter",
    "thinking",
    "usage_null",
    "usage_details_null",
    "failed",
    "incomplete",
    "server_error",
    "overloaded",
    "rate_limited",
    "invalid_request",
    "unicode_separators",
]
BatchChange = Literal[
    "shuffled",
    "both_files",
    "duplicate_lines",
    "missing_ids",
    "unknown_id",
    "null_output_file",
    "empty_error_file",
    "all_errors",
    "crlf",
    "truncated_line",
    "unparsable_line",
    "unknown_status",
    "stuck_validating",
    "failed",
    "expired",
    "cancelled",
]

MODEL_PREFIXES: Final = ("gpt-", "o1", "o3", "o4", "text-embedding-", "claude-", "sandbox-")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFault:
    """A fault of the connection or of one HTTP answer."""

    action: HttpAction
    route: str = "*"  #: pattern over route names such as `openai.batches.create`
    times: int | None = 1  #: how many requests are hit; None is all of them
    skip: int = 0  #: how many matching requests pass first
    contains: str = ""  #: only requests whose JSON body holds this text
    share: float = 1.0  #: this share of bodies, chosen by their content
    attempts: int | None = None  #: only the first n requests with the same body
    status: int = 500
    code: str | None = None
    message: str = "scripted fault of the sandbox"
    retry_after_seconds: float | None = None
    retry_after_style: Literal["seconds", "date", "milliseconds"] = "seconds"
    seconds: float = 0.0  #: delay of `slow`, longest wait of `hang`; 0 hangs until shutdown
    keep: float = 0.5  #: share of the bytes that `truncate` lets through


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFault:
    """A bad answer to some of the questions, in a batch or live."""

    outcome: ItemOutcome
    custom_id: str = ""  #: only ids that hold this text
    prompt: str = ""  #: only requests whose JSON holds this text
    share: float = 1.0  #: this share of bodies, chosen by their content
    times: int | None = None  #: how many questions are hit in all
    attempts: int | None = None  #: only the first n times the same body is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFault:
    """A fault of a whole batch: of its life or of its files."""

    change: BatchChange
    vendor: Literal["openai", "anthropic", "*"] = "*"
    times: int | None = 1  #: how many batches are hit; None is all of them
    skip: int = 0  #: how many batches pass first
    share: float = 0.5  #: share of items done when a batch ends early, or of lines touched
    polls: int = 3  #: how many polls see the unknown status
    status: str = "paused"  #: the unknown status
    code: str = "server_error"  #: the error code of a failed batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything the sandbox is told to do; the default is a vendor in perfect health."""

    latency_seconds: float = 0.0  #: how long a batch takes; 0 is done at the first poll
    cancel_seconds: float = 0.0  #: how long a cancellation takes
    background_seconds: float = 0.0  #: how long a background response takes
    background_queued_seconds: float = 0.0  #: and how long of that it is queued
    poll_after_ms: int | None = None  #: when to ask again for one, as `openai-poll-after-ms`
    response_kept_seconds: float = 2_592_000.0  #: how long a stored response can be retrieved
    window_seconds: float = 86_400.0  #: a batch that takes longer expires
    openai_max_requests: int = 50_000
    openai_max_embedding_inputs: int = 50_000  #: texts of all requests of a batch
    openai_max_bytes: int = 200_000_000
    anthropic_max_requests: int = 100_000
    anthropic_max_bytes: int = 256_000_000
    enqueued_token_limit: int | None = None  #: per OpenAI model, over batches not yet ended
    model_prefixes: tuple[str, ...] = MODEL_PREFIXES  #: "" accepts any name
    extra_fields: tuple[str, ...] = ()  #: of chat requests, taken beside OpenAI's own and ignored
    cached_share: float = 0.0  #: share of input tokens reported as read from the cache
    foreign_batches: int = 0  #: batches of others, beside each one created, equal in time and count
    listing_delay_calls: int = 0  #: list calls that do not show a new batch yet
    clock_skew_seconds: float = 0.0  #: how far the server's clock is ahead
    results_base_url: str | None = None  #: other host for Anthropic `results_url`
    replies: Mapping[str, str] = field(default_factory=dict)  #: text in the request → answer
    http: tuple[HttpFault, ...] = ()
    items: tuple[ItemFault, ...] = ()
    batches: tuple[BatchFault, ...] = ()

    def to_json(self) -> bytes:
        """Write the scenario as JSON that `from_json` reads back."""
        return orjson.dumps(self, option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, data: bytes | str) -> "Scenario":
        """Read a scenario; a misspelt field raises `msgspec.ValidationError`."""
        raw = msgspec.json.decode(data, type=dict[str, Any])
        _check_names(cls, raw)
        for name, kind in (("http", HttpFault), ("items", ItemFault), ("batches", BatchFault)):
            for fault in raw.get(name, ()):
                _check_names(kind, fault)
        return msgspec.json.decode(data, type=cls)

    @classmethod
    def from_file(cls, path: str | Path) -> "Scenario":
        """Read a scenario from a JSON file."""
        return cls.from_json(Path(path).read_bytes())


def _check_names(kind: type[Scenario | HttpFault | ItemFault | BatchFault], raw: object) -> None:
    if not isinstance(raw, dict):
        raise msgspec.ValidationError(f"{kind.__name__} must be an object, got {raw!r}")
    if unknown := sorted(set(raw) - set(kind.__dataclass_fields__)):
        raise msgspec.ValidationError(f"{kind.__name__} has no field {', '.join(unknown)}")
