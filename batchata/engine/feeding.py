"""Jobs read from a script while earlier ones are being asked: two threads, one way between them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from batchata.core.errors import BatchataError, JobChangedError
from batchata.core.job import Job
from batchata.engine.context import RunContext
from batchata.engine.ingest import Ingest, no_jobs
from batchata.engine.live import LiveRoute
from batchata.engine.preparing import Ready, Refused
from batchata.engine.upload_plan import UploadPlan

log = logging.getLogger("batchata.engine")

#: jobs that are written down together, and for how long the first of them waits for the others
_GROUP, _SECONDS = 500, 0.05
#: of the first group, whose faults come before anything is sent
_FIRST, _FIRST_SECONDS = 200, 0.5
#: the reader waits when so many jobs are read and not written down yet
_MOST_READ = 500
#: so many jobs keep the calls busy: there is no hurry then
_ENOUGH = 1000
#: nothing more is written down while so many jobs wait to be sent
_MOST_WAITING = 100_000
_LOOK_SECONDS = 0.1


class Feed:
    """The jobs of a script on their way into a run.

    `read` makes them ready in the thread that may iterate the script; `run` writes them down and
    queues them in the loop, which alone touches the state file.
    """

    def __init__(
        self,
        context: RunContext,
        ingest: Ingest,
        jobs: Iterable[Job],
        admitted: Callable[[Sequence[int]], None],
    ) -> None:
        self._context = context
        self._ingest = ingest
        self._jobs = jobs
        self._admitted = admitted  #: is told of the jobs that were written down
        self._ready: deque[Ready | Refused] = deque()
        self._room = threading.Event()
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wanted = 1  #: the loop is told when so many are read
        self.is_done = False  #: every job of the script is written down and may be asked
        self._is_read = False
        self._is_closed = False
        self._error: Exception | None = None

    def read(self, between: Callable[[], None]) -> None:
        """Read the jobs to the last one, or until the run takes no more.

        `between` is called between two jobs, and while the run is behind. What the script raises
        is raised by the run when it has stopped in good order; what ends a process, as a
        KeyboardInterrupt, comes out at once, and is for the caller to stop the run.
        """
        try:
            for job in self._jobs:
                between()
                if not self._hand_over(self._ingest.preparer.prepare(job), between):
                    return
        except Exception as error:  # the script's own
            log.debug("the jobs could not all be read", exc_info=error)
            self._error = error
        self._is_read = True
        self._tell()

    def _hand_over(self, prepared: Ready | Refused, between: Callable[[], None]) -> bool:
        while self._is_taking and len(self._ready) >= _MOST_READ:
            self._room.clear()
            if len(self._ready) >= _MOST_READ:  # else room was made just before
                self._room.wait(_LOOK_SECONDS)
            between()
        if not self._is_taking:
            return False
        self._ready.append(prepared)
        if len(self._ready) in (1, self._wanted):
            self._tell()
        return True

    @property
    def _is_taking(self) -> bool:
        return not (self._is_closed or self._context.stop.is_asked)

    def _tell(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # closed: the run has ended
                self._loop.call_soon_threadsafe(self._news.set)

    def close(self) -> None:
        """Accept no more jobs."""
        self._is_closed = True
        self._room.set()

    async def run(self, live: LiveRoute, uploads: UploadPlan) -> None:
        """Write down and queue what is read, until the last job or a stop.

        Jobs with files that may go by id wait for the last one, as it takes all of them to tell
        which files are worth an upload.
        """
        self._loop = asyncio.get_running_loop()
        held: list[int] = []
        try:
            group = await self._next(_FIRST, _FIRST_SECONDS)
            while group and self._is_taking:
                seqs = self._ingest.admit(group)
                self._admitted(seqs)
                now, later = self._told_apart(seqs, group)
                live.add(now)
                held += later
                await self._let_others(live)
                group = await self._next(_GROUP, _SECONDS)
            self._end()
            if not self._is_taking:
                return
            if held:
                uploads.make()
                live.add(held)
            self.is_done = True
        except JobChangedError as error:
            self._stop(error)
        finally:
            live.expect(more=False)

    def _told_apart(
        self, seqs: Sequence[int], group: Sequence[Ready | Refused]
    ) -> tuple[list[int], list[int]]:
        """The jobs that may be sent, and those that have to wait."""
        state = self._context.state
        holds = self._context.config.uploads != "never"
        now: list[int] = []
        later: list[int] = []
        for seq, each in zip(seqs, group, strict=True):
            if state.is_pending(seq):
                waits = holds and isinstance(each, Ready) and each.encoded.attachments
                (later if waits else now).append(seq)
        return now, later

    async def _let_others(self, live: LiveRoute) -> None:
        """Let calls run: while enough jobs are waiting, more are taken in slowly."""
        pause = self._context.pause
        if live.waiting < _ENOUGH:
            await asyncio.sleep(0)
        elif await pause(_SECONDS):
            while live.waiting > _MOST_WAITING and await pause(_LOOK_SECONDS):
                pass

    async def _next(self, most: int, patience_seconds: float) -> list[Ready | Refused]:
        """The next jobs; none after the last one, or when the script has failed."""
        await self._until(1, None)
        await self._until(most, patience_seconds)
        if self._error is not None:
            return []
        group = [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
        self._room.set()
        return group

    async def _until(self, count: int, patience_seconds: float | None) -> None:
        self._wanted = count
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                while len(self._ready) < count and not self._is_read:
                    self._news.clear()
                    if len(self._ready) < count and not self._is_read:
                        await self._news.wait()

    def _end(self) -> None:
        if self._error is not None:
            self._stop(self._error)
        elif not self._ingest.order and self._is_taking:
            self._stop(no_jobs())

    def _stop(self, error: Exception) -> None:
        said = error.message if isinstance(error, BatchataError) else f"{error!r}"
        self._context.stop.ask(f"not all jobs could be read: {said}", error=error)
