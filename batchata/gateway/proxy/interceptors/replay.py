"""`replay`: answers from a cassette, so no vendor is needed."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import Any, ClassVar

from batchata.core.errors import ValidationError
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.http.headers import Headers, first, with_header
from batchata.gateway.proxy.interceptor import CONTINUE, Interceptor, Outcome, Reject, Respond
from batchata.gateway.proxy.tape.cassette import Recorded, load, request_row, row_key

#: what to do with a request that was not recorded
_MISSES = ("strict", "repeat", "fallthrough")
_MOST_MISSED = 1000
#: SDKs give up a call that is told to wait longer
_LONGEST_WAIT_SECONDS = 120


class Replay(Interceptor):
    """Gives the n-th answer to the n-th equal request.

    `miss` says what happens to others: "strict" refuses them, "repeat" gives the last answer of an
    equal request again, "fallthrough" sends them to the upstream. `ignore` names fields of the body
    that may differ; `timing` keeps the recorded pace of streams and the waits that refusals asked
    for.
    """

    name = "replay"
    is_policy = True
    wants_bodies = True
    #: the hint for a request that was not recorded
    advice: ClassVar[str] = "Record it with --record"
    options: ClassVar = {
        "directory": "./cassettes",
        "miss": "strict",
        "timing": False,
        "ignore": (),
    }
    directory: str | Path  #: with recordings or the results of a batch run; or one file
    miss: str  #: if not recorded: `strict` refuses, `repeat`, `fallthrough` to the upstream
    timing: bool  #: keep the recorded pace of streams, and the waits that refusals ask for
    ignore: tuple[str, ...]  #: fields of the body that may differ

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.miss not in _MISSES:
            raise ValidationError(
                f"replay: miss is {self.miss!r}", hint=f"use one of {', '.join(_MISSES)}"
            )

    async def start(self) -> None:
        """Read the cassette."""
        self._ignored = frozenset(self.ignore)
        self._recorded = self.recordings(Path(self.directory), self._ignored)
        self._given: Counter[bytes] = Counter()
        self.missed: deque[str] = deque(maxlen=_MOST_MISSED)  # the newest

    def recordings(self, place: Path, ignore: frozenset[str]) -> dict[bytes, list[Recorded]]:
        """The recordings at a place, by key."""
        return load(place, ignore)

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Answer from the cassette."""
        key = row_key(request_row(exchange), self._ignored)
        found = self._recorded.get(key, [])
        nth = self._given[key]
        if nth >= len(found) and not (found and self.miss == "repeat"):
            if self.miss != "fallthrough":
                return self._missing(exchange, nth)
            self._given[key] += 1
            exchange.nth = nth + 1
            return CONTINUE
        self._given[key] += 1
        recorded = found[min(nth, len(found) - 1)]
        pieces = (
            recorded.pieces if self.timing else tuple((0.0, each) for _, each in recorded.pieces)
        )
        status = recorded.status
        headers = recorded.headers if self.timing else _without_waits(recorded.headers)
        if len(pieces) == 1 and not recorded.is_cut:
            return Respond(status=status, headers=headers, body=pieces[0][1])
        return Respond(status=status, headers=headers, pieces=pieces, is_cut=recorded.is_cut)

    @property
    def unused(self) -> int:
        """Recordings that nobody has asked for."""
        return sum(max(0, len(each) - self._given[key]) for key, each in self._recorded.items())

    def _missing(self, exchange: Exchange, nth: int) -> Reject:
        asked = f"{exchange.method} {exchange.path}" + (
            f" of {exchange.model}" if exchange.model else ""
        )
        times = "once" if nth == 1 else f"{nth} times"
        had = f"was recorded {times} and asked once more" if nth else "was not recorded"
        self.missed.append(f"{asked} {had}")
        also = ", or have the last answer again with miss: repeat (proxy replay --repeat)"
        return Reject(
            message=f"replay: {asked} {had}; nothing was sent. {self.advice}{also if nth else ''}",
            status=404,
            code="not_recorded",
            headers=(("x-should-retry", "false"),),
        )


def _without_waits(headers: Headers) -> Headers:
    """The headers with short waits cut to nothing; clients give up on longer ones anyway."""
    seconds, milliseconds = first(headers, "retry-after"), first(headers, "retry-after-ms")
    try:
        wait_seconds = float(milliseconds) / 1000 if milliseconds else float(seconds)
    except ValueError:
        return headers
    if not 0 < wait_seconds <= _LONGEST_WAIT_SECONDS:
        return headers
    soon = with_header(headers, "retry-after", "0") if seconds else headers
    return with_header(soon, "retry-after-ms", "1")  # SDKs take 0 for none
