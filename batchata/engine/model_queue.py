"""The live jobs of one model."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from batchata.core.pacing import Pace
from batchata.core.result import Failure
from batchata.core.usage import Usage
from batchata.engine.leases import Ask
from batchata.ports import Codec, LiveAPI


@dataclass(slots=True)
class ModelQueue:
    """The jobs of one model, and how fast it may be asked."""

    provider: str
    model: str
    note: str  #: under which it is said what is waited for
    api: LiveAPI
    codec: Codec
    pace: Pace
    ready: deque[int] = field(default_factory=deque)  #: with money, not written down yet
    asks: deque[Ask] = field(default_factory=deque)  #: written down, may leave
    is_waking: bool = False
    missed: int = 0  #: how often in a row nobody was there
    missed_at: float = 0.0  #: when that was noticed last
    faults: int = 0  #: jobs in a row whose first answer was the server's own fault
    faulty_at: float | None = None  #: the first fault since anything else was said
    is_known: bool = False  #: the model has answered
    unknown: int = 0  #: calls that were refused because the vendor does not have it
    refusal: Failure | None = None  #: why none of its jobs is asked any more
    quiet_until: float = 0.0  #: until then no more is said of what is waited for
    said_tokens: float = 0.0  #: what answers have held of late

    def tokens(self, input_bound: int) -> int:
        """How much of a token limit a request will probably use."""
        return input_bound // 4 + int(self.said_tokens)

    def fault(self, ask: Ask, now: float) -> None:
        """Count an answer that failed through the server's own fault."""
        if self.faulty_at is None:
            self.faulty_at = now
        self.faults += not ask.tries
        ask.faulty_at = min(ask.faulty_at, now)

    def down_seconds(self, now: float) -> float:
        """For how long the server has had nothing but faults."""
        return 0.0 if self.faulty_at is None else now - self.faulty_at

    def is_down_for(self, ask: Ask) -> bool:
        """True when nobody else was answered since this job met its first fault."""
        return self.faulty_at is not None and self.faulty_at <= ask.faulty_at

    def is_well(self) -> None:
        """Note that the server answers, and works."""
        self.missed = self.faults = 0
        self.faulty_at = None

    def learn(self, thought: int, usage: Usage | None, now: float) -> None:
        """Learn from the tokens that a request really used."""
        if usage is not None:
            self.said_tokens += (usage.output_tokens - self.said_tokens) / 8
            self.pace.used(usage.input_tokens + usage.output_tokens - thought, now)
