"""What all parts of a run share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic import BaseModel

from batchata.core.config import RunConfig
from batchata.core.document import Attachment
from batchata.core.errors import BatchataError, ProviderNotFoundError
from batchata.core.events import Durable, Event, RemoteProgress
from batchata.core.pilot import Decide
from batchata.core.result import Citation
from batchata.core.state import RunState
from batchata.core.submission import Shape, Submission
from batchata.engine.paces import Paces
from batchata.engine.waiting import first_of
from batchata.ports import BackgroundAPI, BatchAPI, Clock, LiveAPI, Provider, Store

log = logging.getLogger("batchata.engine")

FindQuotes = Callable[[Mapping[str, str], bytes, Sequence[Attachment]], dict[str, list[Citation]]]


def _nothing_attached(line: bytes, attachments: tuple[Attachment, ...]) -> Iterable[bytes]:
    return (line,)


def _as_it_is(event: Durable) -> Durable:
    return event


def _just_open(attachment: Attachment) -> BinaryIO:
    return Path(attachment.path).open("rb")


def _no_documents(
    quotes: Mapping[str, str], body: bytes, attachments: Sequence[Attachment]
) -> dict[str, list[Citation]]:
    return {}


@dataclass(slots=True)
class Stop:
    """A stop that was asked for, with its reason: nothing new is sent, and the run ends.

    With `stays` the run first waits for what is in flight, until it is asked again.
    """

    event: asyncio.Event = field(default_factory=asyncio.Event)  #: nothing new is sent
    leaving: asyncio.Event = field(default_factory=asyncio.Event)  #: nor waited for what was
    told: asyncio.Event = field(default_factory=asyncio.Event)  #: vendors were asked to cancel
    reason: str | None = None
    error: Exception | None = None
    cancels: bool = False  #: ask vendors to cancel what is in flight

    def ask(
        self,
        reason: str,
        *,
        error: Exception | None = None,
        cancels: bool = False,
        stays: bool = False,
    ) -> None:
        """Stop the run; the first reason is kept."""
        if not self.event.is_set():
            self.reason, self.error = reason, error
        self.cancels = self.cancels or cancels
        self.event.set()
        if not stays:
            self.leaving.set()

    @property
    def is_asked(self) -> bool:
        """True when nothing new may be sent."""
        return self.event.is_set()


class Supply(NamedTuple):
    """Jobs with money and without; all money in 1e-12 USD."""

    earmarked: int = 0  #: for jobs that are about to be written down
    ready: int = 0  #: jobs with money that have not left
    bounds: Sequence[int] = ()  #: of jobs that have none


def _nothing_live(most: int) -> Supply:
    return Supply()


@dataclass(slots=True, kw_only=True)
class RunContext:
    """One run's state, store, providers and clock, and the one way to record what happened."""

    config: RunConfig
    run_id: str
    store: Store
    state: RunState
    providers: Mapping[str, Provider]
    clock: Clock
    emit: Callable[[Event], None]
    new_token: Callable[[], str]
    requests_dir: Path  #: uploaded files are written here
    responses_dir: Path  #: and result files here
    errors_dir: Path
    keeps_raw: bool
    card: Callable[[str, str, str], Any]  #: (provider, model, tier) → RateCard
    bound_tier: str = "batch"  #: at whose prices jobs are bounded
    #: a line with its attachments put in, piece by piece
    splice: Callable[[bytes, tuple[Attachment, ...]], Iterable[bytes]] = _nothing_attached
    #: a file as it was when it was checked, to be uploaded
    open_file: Callable[[Attachment], BinaryIO] = _just_open
    #: quotes by field path, looked up in the documents of a request; runs beside the loop
    find_quotes: FindQuotes = _no_documents
    response_models: dict[int, type[BaseModel]] = field(default_factory=dict)  #: by shape number
    stop: Stop = field(default_factory=Stop)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    paces: Paces = field(default_factory=Paces)  #: of live calls; runs side by side share them
    progress: dict[str, RemoteProgress] = field(default_factory=dict)
    decide: Decide | None = None  #: asked after a pilot whether to go on
    #: the limit is what was handed out so far: jobs that do not fit wait until there is more
    awaits_money: bool = False
    supply: Callable[[int], Supply] = _nothing_live  #: of the live route
    is_late: bool = False  #: the time for batches is over: what is cancelled goes live
    #: adds to an event what belongs into the same transaction
    complete: Callable[[Durable], Durable] = _as_it_is
    notes: dict[str, str] = field(default_factory=dict)  #: what is being waited for, by topic
    #: what goes with the next commit, and who waits for that
    _joined: list[tuple[tuple[Durable, ...], asyncio.Future[None]]] = field(default_factory=list)
    _error: BaseException | None = None  #: of a commit: the run ends with it

    @property
    def has_failed(self) -> bool:
        """True after a commit that failed: nothing is written past it."""
        return self._error is not None

    async def join(self, *events: Durable) -> None:
        """Record events in one transaction with those of other tasks in this turn of the loop.

        Once a commit has failed nothing more is accepted, so that tasks which have not heard of it
        yet cannot write past it.
        """
        if self._error is not None:
            raise self._error
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        if not self._joined:
            loop.call_soon(self._record_joined)
        self._joined.append((events, done))
        await done

    def _record_joined(self) -> None:
        if self._joined:
            with suppress(BatchataError):  # those who wait are told
                self.record()

    def record(self, *events: Durable) -> None:
        """Write events to disk, then to memory, then tell watchers.

        They go before what tasks have joined, because they were decided without knowing of that.
        """
        joined, self._joined = self._joined, []
        waiting = [done for _, done in joined if not done.done()]
        try:
            self._record([*events, *(each for brought, _ in joined for each in brought)])
        except BaseException as error:
            self._error = error
            for done in waiting:
                done.set_exception(error)
            raise
        for done in waiting:
            done.set_result(None)

    def _record(self, events: Iterable[Durable]) -> None:
        events = tuple(map(self.complete, events))
        self.store.commit(*events)
        for event in events:
            self.state.apply(event)
        for event in events:
            self.emit(event)
        self.changed.set()

    def tell(self, event: RemoteProgress) -> None:
        """Pass on a vendor's progress, which is not kept on disk."""
        self.progress[event.token] = event
        self.emit(event)

    def now_us(self) -> int:
        """µs since the epoch."""
        return int(self.clock.now().timestamp() * 1_000_000)

    def api(self, provider: str) -> BatchAPI:
        """The provider's batch API; ProviderNotFoundError when this run has none."""
        found = self.providers.get(provider)
        if found is None or found.batch is None:
            raise self._lacks(provider, "batch API")
        return found.batch

    def live(self, provider: str) -> LiveAPI:
        """The provider's live API; ProviderNotFoundError when this run has none."""
        found = self.providers.get(provider)
        if found is None or found.live is None:
            raise self._lacks(provider, "live API")
        return found.live

    def background(self, provider: str) -> BackgroundAPI:
        """The provider's background API; ProviderNotFoundError when this run has none."""
        found = self.providers.get(provider)
        if found is None or found.background is None:
            raise self._lacks(provider, "background API")
        return found.background

    def canceller(self, submission: Submission) -> BatchAPI | BackgroundAPI:
        """The API that can cancel a submission."""
        of = self.background if submission.route == "background" else self.api
        return of(submission.provider)

    def _lacks(self, provider: str, what: str) -> ProviderNotFoundError:
        return ProviderNotFoundError(
            f"provider {provider!r} has no {what} in this run",
            hint=f"known here: {', '.join(sorted(self.providers)) or 'none'}",
        )

    def shape(self, seq: int) -> Shape:
        """The shape of a job."""
        return self.state.shapes[self.state.shape_of[seq]]

    async def pause(self, seconds: float, *, until_leaving: bool = False) -> bool:
        """Wait, but no longer than until a stop; True when the run goes on.

        With `until_leaving` only a stop that leaves what is in flight ends the wait.
        """
        stop = self.stop.leaving if until_leaving else self.stop.event
        if stop.is_set():
            return False
        await first_of(self.clock.sleep(seconds), stop.wait())
        return not stop.is_set()


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error behind a group of tasks that ended with it."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
