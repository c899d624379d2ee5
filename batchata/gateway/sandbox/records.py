"""What the sandbox remembers: files, batches and background responses."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from batchata.gateway.sandbox.ledger import LiveCall
from batchata.gateway.sandbox.scenario import BatchChange, BatchFault
from batchata.gateway.sandbox.upstream import Answer
from batchata.gateway.wire.batch_input import FileError
from batchata.gateway.wire.message_batches import stamp
from batchata.gateway.wire.vendors import TokenUsage, Vendor


@dataclass(slots=True, kw_only=True)
class AnthropicFile:
    """One file of Anthropic's, its bytes on disk."""

    id: str
    path: Path
    filename: str
    mime_type: str
    size: int
    created_at: float
    expires_at: float | None = None

    def is_expired(self, now: float) -> bool:
        """Say whether its time has passed."""
        return self.expires_at is not None and self.expires_at <= now

    def to_wire(self) -> dict[str, object]:
        """Give the file object of the API."""
        return {
            "id": self.id,
            "type": "file",
            "filename": self.filename,
            "mime_type": self.mime_type,
            "size_bytes": self.size,
            "created_at": stamp(self.created_at),
            "downloadable": False,
            "expires_at": None if self.expires_at is None else stamp(self.expires_at),
        }


@dataclass(slots=True, kw_only=True)
class ItemCounts:
    """How the items of a batch ended."""

    succeeded: int = 0
    errored: int = 0
    cancelled: int = 0
    expired: int = 0


@dataclass(slots=True, kw_only=True)
class BatchRecord:
    """One batch of either vendor, from its creation to its results."""

    id: str
    vendor: Vendor
    n: int
    path: Path  #: the items, one JSON line each
    created_at: float
    latency_seconds: float
    endpoint: str
    faults: tuple[BatchFault, ...] = ()
    version: str = ""  #: the anthropic-version it was created with
    input_file_id: str | None = None
    metadata: dict[str, str] | None = None
    output_seconds: float | None = None  #: how long its OpenAI output files are kept
    foreign_tag: str = ""  #: set for a batch of someone else in the same account
    hidden_calls: int = 0  #: list calls that do not show it yet
    polls: int = 0
    cancel_at: float | None = None
    model: str | None = None
    enqueued_tokens: int = 0
    is_checked: bool = False
    is_settled: bool = False
    errors: list[FileError] = field(default_factory=list)
    counts: ItemCounts = field(default_factory=ItemCounts)
    usage: TokenUsage = field(default_factory=TokenUsage)
    output_file_id: str | None = None
    error_file_id: str | None = None
    results_path: Path | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def fault(self, change: BatchChange) -> BatchFault | None:
        """Find the fault of this kind that struck this batch."""
        return next((fault for fault in self.faults if fault.change == change), None)


@dataclass(slots=True, kw_only=True)
class BackgroundResponse:
    """A response that can be retrieved, finished or not."""

    answer: Answer
    starts_at: float  #: until then it is queued
    ready_at: float
    expires_at: float
    is_background: bool = False
    is_cancelled: bool = False
    bill: LiveCall | None = None
