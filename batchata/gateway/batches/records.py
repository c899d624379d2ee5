"""What the gateway knows about a batch, as stored on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from batchata.gateway.wire.batch_input import FileError
from batchata.gateway.wire.uploads import StoredFile
from batchata.gateway.wire.vendors import TokenUsage, Vendor

Phase = Literal[
    "validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelled"
]
FINAL: Final[frozenset[Phase]] = frozenset({"completed", "failed", "expired", "cancelled"})
#: headers of a create call that its requests are sent with; keys are never stored
KEPT_HEADERS: Final = (
    "anthropic-version",
    "anthropic-beta",
    "openai-organization",
    "openai-project",
    "x-batchata-agent-id",
    "x-batchata-tags",
)


class Counts(msgspec.Struct):
    """How the requests of a batch have ended so far."""

    succeeded: int = 0
    errored: int = 0
    cancelled: int = 0
    expired: int = 0


class Idempotency(msgspec.Struct, frozen=True):
    """Digests that a repeated create call is recognised by: of its `Idempotency-Key` and body."""

    key: str  #: empty without one
    body: str


class BatchRecord(msgspec.Struct, kw_only=True):
    """A batch from its create call on; times are seconds since the epoch, UTC."""

    id: str
    vendor: Vendor
    owner: str  #: digest of the client's key; empty where the gateway has the key
    prefix: str  #: of its upstream's paths
    endpoint: str
    provider: str = ""  #: whose prices apply; set once the model is known
    created_at: float
    expires_at: float
    window: str = "24h"
    phase: Phase = "validating"
    in_progress_at: float | None = None
    finalizing_at: float | None = None
    cancelling_at: float | None = None
    ended_at: float | None = None
    ending: Phase = "completed"  #: what it becomes after `finalizing`
    refusal: str | None = None  #: why the upstream accepted no more requests
    total: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)
    model: str | None = None
    errors: list[FileError] = []
    headers: dict[str, str] = {}
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    output_seconds: float | None = None
    metadata: dict[str, str] | None = None
    usage: TokenUsage | None = None
    once: Idempotency | None = None

    @property
    def is_final(self) -> bool:
        """True when it will not change again."""
        return self.phase in FINAL


@dataclass(slots=True, kw_only=True)
class KeptFile(StoredFile):
    """A file of one client."""

    owner: str = ""
