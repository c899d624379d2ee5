"""Which jobs go out together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from batchata.core.submission import BatchLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLimits:
    """The most that one chunk may hold: the lower of the vendor's and the user's limits."""

    requests: int
    size_bytes: int
    tokens: int | None = None


def chunk_limits(
    vendor: BatchLimits, items_per_batch: int | None, queue_tokens: int | None
) -> ChunkLimits:
    """Limits of one chunk: a user's number can lower a vendor's, never raise it."""
    requests = vendor.requests if items_per_batch is None else min(vendor.requests, items_per_batch)
    known = [limit for limit in (queue_tokens, vendor.queue_tokens) if limit is not None]
    return ChunkLimits(
        requests=requests, size_bytes=vendor.size_bytes, tokens=known[0] if known else None
    )


@dataclass(slots=True)
class Chunk:
    """Jobs planned to go out together."""

    seqs: list[int]
    size_bytes: int = 0
    tokens: int = 0

    def takes(self, size_bytes: int, tokens: int, limits: ChunkLimits) -> bool:
        """True when one more job of this size stays within the limits."""
        return (
            len(self.seqs) < limits.requests
            and self.size_bytes + size_bytes <= limits.size_bytes
            and (limits.tokens is None or self.tokens + tokens <= limits.tokens)
        )

    def add(self, seq: int, size_bytes: int, tokens: int) -> None:
        """Put one more job in."""
        self.seqs.append(seq)
        self.size_bytes += size_bytes
        self.tokens += tokens


def plan(jobs: Iterable[tuple[int, int, int]], limits: ChunkLimits) -> Iterator[Chunk]:
    """Pack (seq, bytes, tokens) in order into chunks; a job over a limit alone goes alone."""
    chunk = Chunk([])
    for seq, size_bytes, tokens in jobs:
        if chunk.seqs and not chunk.takes(size_bytes, tokens, limits):
            yield chunk
            chunk = Chunk([])
        chunk.add(seq, size_bytes, tokens)
    if chunk.seqs:
        yield chunk
