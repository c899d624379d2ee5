"""A gateway for one test: it answers from the test's cassette."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

from batchata.core.errors import ResultsError
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.interceptors.record import Record
from batchata.gateway.proxy.interceptors.replay import Replay
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder
from batchata.gateway.proxy.local import Gateway
from batchata.gateway.proxy.tape.cassette import Recorded, cassette_file, load

RecordMode = Literal["none", "once", "all"]
_VENDORS: Final = (
    {"base_url": "https://api.openai.com"},
    {"base_url": "https://api.anthropic.com", "type": "anthropic"},
)
#: how long a call that a test left behind may delay its end
_SHUTDOWN_SECONDS: Final = 1.0


class CassetteGateway(Gateway):
    """A gateway that answers from the cassette at `place`, a `.jsonl` file or a folder.

    With `record` "none" nothing leaves this machine; with "once" the vendor is asked what is not in
    the cassette, and the answer is added; with "all" it is asked everything, and the cassette is
    replaced. `config` is what a configuration file of the gateway would hold; without an upstream
    in it, the upstreams are OpenAI and Anthropic.
    """

    def __init__(
        self,
        place: Path,
        *,
        record: RecordMode = "none",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self._file = cassette_file(place)
        # written beside the old one and moved over it at the end: a kill leaves the old one whole
        self._written = self._file.with_suffix(".new.jsonl") if record == "all" else self._file
        self._seen = TestRecorder()
        self._replay = _TestReplay(
            directory=str(place), miss="strict" if record == "none" else "fallthrough"
        )
        tape: list[Interceptor] = [self._seen]
        if record != "none":
            tape.append(_TestRecord(directory=str(self._written)))
        if record != "all":
            tape.append(self._replay)
        given = dict(config or {})
        if not (given.get("llm") or given.get("upstreams")):
            given["upstreams"] = list(_VENDORS)
        super().__init__(interceptors=tape, config=given, shutdown_seconds=_SHUTDOWN_SECONDS)
        self._is_recording = record != "none"

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """What was asked and answered so far, oldest first."""
        return tuple(self._seen.exchanges)

    @property
    def missed(self) -> tuple[str, ...]:
        """What was asked that is not in the cassette."""
        return tuple(getattr(self._replay, "missed", ()))

    def __enter__(self) -> CassetteGateway:
        if self._written != self._file:
            self._written.unlink(missing_ok=True)  # of a process that was killed
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._is_recording:
            self._put_in_place()

    def _put_in_place(self) -> None:
        try:
            if not self._written.stat().st_size:
                self._written.unlink()
            elif self._written != self._file:
                self._written.replace(self._file)
        except OSError as error:
            raise ResultsError(
                f"{str(self._file)!r} cannot be written: {error.strerror or error}",
                hint="choose a folder you may write to",
            ) from error


class _TestRecord(Record):
    """Leaves out refusals of a wrong key: a test would replay them for ever."""

    async def on_response(self, exchange: Exchange) -> None:
        if exchange.answer is None or exchange.answer.status != 401:
            await super().on_response(exchange)


class _TestReplay(Replay):
    """Takes a missing cassette for an empty one, which matters only once something is asked."""

    advice = "Record it with pytest --batchata-record=once"

    def recordings(self, place: Path, ignore: frozenset[str]) -> dict[bytes, list[Recorded]]:
        is_empty = not place.exists() or (place.is_file() and not place.stat().st_size)
        return {} if is_empty else load(place, ignore)
