"""The live jobs of one model."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from batchata.core.pacing import Pace
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
    faulty_since: float = 0.0  #: when the first of them came
    quiet_until: float = 0.0  #: until then no more is said of what is waited for
    said_tokens: float = 0.0  #: what answers have held of late

    def tokens(self, input_bound: int) -> int:
        """What a request will probably take from a limit on tokens."""
        return input_bound // 4 + int(self.said_tokens)

    def fault(self, ask: Ask, now: float) -> None:
        """An answer was the server's own fault."""
        if not self.faults:
            self.faulty_since = now
        self.faults += not ask.tries

    def is_well(self) -> None:
        """Somebody is there, and at work."""
        self.missed = self.faults = 0

    def learn(self, thought: int, usage: Usage | None, now: float) -> None:
        """A request took what it took."""
        if usage is not None:
            self.said_tokens += (usage.output_tokens - self.said_tokens) / 8
            self.pace.used(usage.input_tokens + usage.output_tokens - thought, now)
