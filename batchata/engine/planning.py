"""Which jobs go out next: funded in order, grouped by what may share a batch, within limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from batchata.core.plan import Chunk, ChunkLimits, chunk_limits
from batchata.core.status import SubmissionStatus
from batchata.core.submission import BatchLimits, Submission
from batchata.engine.context import RunContext
from batchata.engine.upload_plan import UploadPlan

#: bytes per token that even dense text does not go below; a queue is an estimate, not money
_QUEUE_BYTES_PER_TOKEN = 2


@dataclass(slots=True)
class _Group:
    """Jobs that may share a batch."""

    provider: str
    model: str
    limits: BatchLimits
    ready: deque[int] = field(default_factory=deque)
    most_requests: int | None = None  #: learnt from a vendor that refused a larger batch
    queue_tokens: int | None = None  #: learnt from a vendor whose queue was full


class Planner:
    """Funds pending jobs in order and packs them into chunks."""

    def __init__(self, context: RunContext, uploads: UploadPlan) -> None:
        self._context = context
        self._sent_bytes = uploads.sent_bytes
        self._groups: dict[tuple[str, str], _Group] = {}
        self._keys: dict[int, tuple[str, str]] = {}  #: by shape number
        self._waiting: deque[int] = deque()  #: pending jobs without money, in order
        self._earmarked = 0  #: money of funded jobs that are not intended yet, 1e-12 USD
        self.leaving: list[Submission] = []  #: taken, and about to be intended together
        self.is_last_money = False  #: nothing is in flight that may give any back

    def add(self, seqs: Iterator[int] | list[int], *, first: bool = False) -> None:
        """Queue pending jobs; `first` for those that go again."""
        if first:
            self._waiting.extendleft(reversed(list(seqs)))
        else:
            self._waiting.extend(seqs)

    def fund(self) -> None:
        """Earmark money for waiting jobs, in order; one that does not fit now holds up the rest."""
        context, waiting = self._context, self._waiting
        cost, bounds = context.state.cost, context.state.cost_bound
        while waiting and cost.fits(self._earmarked + bounds[waiting[0]]):
            seq = waiting.popleft()
            self._earmarked += bounds[seq]
            self._group(seq).ready.append(seq)

    def chunks(self) -> Iterator[list[int]]:
        """Chunks that may be sent now, until a limit says no; each is taken when it is yielded."""
        for group in list(self._groups.values()):
            while group.ready:
                chunk = self._next_chunk(group)
                if chunk is None:
                    break
                yield chunk.seqs

    def take(self, seqs: list[int]) -> None:
        """The chunk is about to be intended: its money moves from earmarked to reserved."""
        group = self._group(seqs[0])
        for _ in seqs:
            group.ready.popleft()
        self._earmarked -= self._context.state.bounds_of(seqs)

    def unaffordable(self) -> list[int]:
        """Take out the waiting jobs that do not fit though nothing else is in flight."""
        cost, bounds = self._context.state.cost, self._context.state.cost_bound
        if self._earmarked or cost.reserved:
            return []
        found: list[int] = []
        while self._waiting and not cost.fits(bounds[self._waiting[0]]):
            found.append(self._waiting.popleft())
        return found

    def drain(self) -> list[int]:
        """Take out all jobs that are not in a chunk yet, and release their money."""
        left = [seq for group in self._groups.values() for seq in group.ready]
        left.extend(self._waiting)
        for group in self._groups.values():
            group.ready.clear()
        self._waiting.clear()
        self._earmarked = 0
        return sorted(left)

    @property
    def waiting(self) -> int:
        """Jobs that are not in a chunk yet."""
        return len(self._waiting) + sum(len(group.ready) for group in self._groups.values())

    @property
    def is_idle(self) -> bool:
        """True when no job waits to be sent."""
        return not self.waiting

    def learn_size(self, submission: Submission) -> None:
        """Learn from a batch that was too large for its vendor: send half as many at once."""
        group = self._group(submission.seqs[0])
        group.most_requests = max(1, len(submission.seqs) // 2)

    def learn_queue(self, submission: Submission) -> None:
        """Learn from a batch that overfilled its vendor's queue: stay below that from now on."""
        group = self._group(submission.seqs[0])
        enqueued = self._ahead(group, submission) + _queue_tokens(submission.input_tokens)
        group.queue_tokens = max(enqueued * 9 // 10, 1)

    def is_alone(self, submission: Submission) -> bool:
        """True when nothing else of ours is in the vendor's queue beside this submission."""
        return not self._ahead(self._group(submission.seqs[0]), submission)

    def has_room(self, submission: Submission) -> bool:
        """True when the vendor's queue is thought to take this submission now."""
        group = self._group(submission.seqs[0])
        ahead, limit = self._ahead(group, submission), self._queue_limit(group)
        tokens = _queue_tokens(submission.input_tokens)
        return not ahead or limit is None or ahead + tokens <= limit

    def _group(self, seq: int) -> _Group:
        context = self._context
        number = context.state.shape_of[seq]
        key = self._keys.get(number)
        if key is None:
            shape = context.state.shapes[number]
            api = context.api(shape.provider)
            key = self._keys[number] = (shape.provider, api.group(shape))
            if key not in self._groups:
                model = shape.model if api.limits.one_model else ""
                self._groups[key] = _Group(shape.provider, model, api.limits)
        return self._groups[key]

    def _next_chunk(self, group: _Group) -> Chunk | None:
        context = self._context
        limits = self._limits(group)
        tokens = context.state.input_bound
        chunk = Chunk([])
        for seq in group.ready:
            size, count = self._sent_bytes(seq) + 200, _queue_tokens(tokens[seq])
            if chunk.seqs and not chunk.takes(size, count, limits):
                break
            chunk.add(seq, size, count)
        if self._is_short(group, chunk, limits) or not self._may_go(group, chunk):
            return None
        return chunk

    def _is_short(self, group: _Group, chunk: Chunk, limits: ChunkLimits) -> bool:
        # money comes back bit by bit: wait for it rather than send many tiny batches
        is_rest = len(chunk.seqs) == len(group.ready) and len(chunk.seqs) < limits.requests
        return is_rest and bool(self._waiting) and not self.is_last_money

    def _limits(self, group: _Group) -> ChunkLimits:
        config = self._context.config
        items = config.items_per_batch
        if group.most_requests is not None:
            items = min(items or group.most_requests, group.most_requests)
        return chunk_limits(group.limits, items, self._queue_limit(group))

    def _queue_limit(self, group: _Group) -> int | None:
        users = self._context.config.queue_tokens.get(group.model)
        known = [each for each in (users, group.queue_tokens) if each is not None]
        return min(known) if known else group.limits.queue_tokens

    def _may_go(self, group: _Group, chunk: Chunk) -> bool:
        if not self._enqueued(group):
            return True  # an empty queue takes anything that a batch may hold
        return self._fits_queue(group, chunk.tokens) and self._fits_requests(group, chunk)

    def _fits_queue(self, group: _Group, tokens: int) -> bool:
        limit = self._queue_limit(group)
        return limit is None or self._enqueued(group) + tokens <= limit

    def _fits_requests(self, group: _Group, chunk: Chunk) -> bool:
        limit = group.limits.queue_requests
        if limit is None:
            return True
        in_flight = sum(len(each.seqs) for each in self._open() if each.provider == group.provider)
        return in_flight + len(chunk.seqs) <= limit

    def _enqueued(self, group: _Group) -> int:
        return sum(_queue_tokens(each.input_tokens) for each in self._queued(group))

    def _ahead(self, group: _Group, submission: Submission) -> int:
        """Tokens in the vendor's queue, and of what has waited longer than this submission."""
        tokens, waits_longer = 0, True
        for each in self._queued(group):
            if each.token == submission.token:
                waits_longer = False
            elif waits_longer or each.status is not SubmissionStatus.INTENDED:
                tokens += _queue_tokens(each.input_tokens)
        return tokens

    def _open(self) -> list[Submission]:
        return self._context.state.open_submissions() + self.leaving

    def _queued(self, group: _Group) -> Iterator[Submission]:
        for each in self._open():
            if each.provider == group.provider and group.model in ("", each.model):
                yield each


def _queue_tokens(bound: int) -> int:
    return -(-bound // _QUEUE_BYTES_PER_TOKEN)
