"""How fast each model may be asked, shared by runs that go on side by side in one loop."""

from __future__ import annotations

import asyncio
import logging

from batchata.core.allowance import Allowance
from batchata.core.pacing import MOST_WINDOW, Pace, PaceCaps
from batchata.disk.open_files import room_for_connections

log = logging.getLogger("batchata.engine")


class Paces:
    """One pace for each provider and model; whoever waits for a free place is woken."""

    def __init__(self, allowance: Allowance | None = None) -> None:
        self._paces: dict[tuple[str, str], Pace] = {}
        self._waiting: list[asyncio.Event] = []
        self._allowance = allowance  #: of rates that are shared with other processes

    def of(
        self, provider: str, model: str, caps: PaceCaps, now: float, *, hurry: float = 1.0
    ) -> Pace:
        """The pace of a model; made by the first run that asks for it."""
        found = self._paces.get((provider, model))
        if found is None:
            room = self._room(caps.concurrency or MOST_WINDOW)
            found = self._paces[provider, model] = Pace(
                caps, now, hurry=hurry, allowance=self._allowance, room=room
            )
        return found

    def _room(self, wanted: int) -> int:
        """How many requests the system allows in flight beside those of other models."""
        others = int(sum(pace.most for pace in self._paces.values()))
        room = max(1, room_for_connections(wanted + others) - others)
        if room < wanted:
            log.warning(
                "this system lets a process open so few files that %d live calls go at once, "
                "not %d; `ulimit -n` shows and raises the limit",
                room,
                wanted,
            )
        return room

    @property
    def window(self) -> float:
        """Requests that may be in flight, over all models."""
        return sum(pace.window for pace in self._paces.values())

    @property
    def in_flight(self) -> int:
        """Requests without an answer, over all models."""
        return sum(pace.in_flight for pace in self._paces.values())

    def join(self, wake: asyncio.Event) -> None:
        """Have a run told when another leaves a place free."""
        self._waiting.append(wake)

    def leave(self, wake: asyncio.Event) -> None:
        """Stop waking a run that has ended."""
        self._waiting.remove(wake)

    def freed(self) -> None:
        """Wake other runs: this one has no use for a place that became free."""
        if len(self._waiting) > 1:
            for wake in self._waiting:
                wake.set()

    def changed(self) -> None:
        """Wake every run: there is more that may be used."""
        for wake in self._waiting:
            wake.set()
