"""Everything one running sandbox holds."""

import hashlib
import re
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from aiohttp import web

from batchata.gateway.sandbox.answers import ScriptedUpstream
from batchata.gateway.sandbox.fault_book import FaultBook
from batchata.gateway.sandbox.ledger import LedgerBook
from batchata.gateway.sandbox.lifecycle import FINAL, Phase, Timeline, phase_at, timeline
from batchata.gateway.sandbox.records import AnthropicFile, BackgroundResponse, BatchRecord
from batchata.gateway.sandbox.scenario import Scenario
from batchata.gateway.sandbox.upstream import Upstream
from batchata.gateway.wire.uploads import StoredFile
from batchata.gateway.wire.vendors import Vendor

Clock = Callable[[], float]
MakeUpstream = Callable[[Scenario, FaultBook, Clock], Upstream]

REQUESTS_KEPT: Final = 100_000
RESPONSES_KEPT: Final = 50_000
_FILE_ID: Final = re.compile(rb'"file_id"\s*:\s*"([^"]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request that reached the sandbox."""

    at: float
    method: str
    path: str
    route: str


class World:
    """The state of a sandbox: scenario, files, batches, ledger and request log."""

    def __init__(
        self,
        *,
        folder: Path,
        clock: Clock,
        scenario: Scenario,
        make_upstream: MakeUpstream = ScriptedUpstream,
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._make_upstream = make_upstream
        self.url = ""
        self.set_scenario(scenario)
        self.clear()

    def set_scenario(self, scenario: Scenario) -> None:
        """Take a new scenario; what exists stays, the counts of faults start again."""
        self.scenario = scenario
        self.faults = FaultBook(scenario)
        self.upstream = self._make_upstream(scenario, self.faults, self.now)

    def clear(self) -> None:
        """Forget all files, batches and bills, and remove the files from disk."""
        self.files: dict[str, StoredFile] = {}
        self.anthropic_files: dict[str, AnthropicFile] = {}
        self._contents: dict[str, bytes] = {}  #: digests of uploads by id, also of deleted ones
        self.batches: dict[str, BatchRecord] = {}
        self.responses: OrderedDict[str, BackgroundResponse] = OrderedDict()
        self.ledger = LedgerBook()
        self.requests: deque[LoggedRequest] = deque(maxlen=REQUESTS_KEPT)
        for path in self.folder.iterdir():
            path.unlink()

    def seed_of(self, body: bytes) -> bytes:
        """Give a request with its uploads by content, which answers and bills depend on."""
        return _FILE_ID.sub(self._content_of, body) if b'"file_id"' in body else body

    def _content_of(self, named: re.Match[bytes]) -> bytes:
        file_id = named[1].decode()
        if file_id not in self._contents:
            found = self.files.get(file_id) or self.anthropic_files.get(file_id)
            if found is None:
                return named[0]
            self._contents[file_id] = hashlib.sha256(found.path.read_bytes()).hexdigest().encode()
        return b'"file_id":"' + self._contents[file_id] + b'"'

    def now(self) -> float:
        """Tell the server's time, which may be ahead of the client's."""
        return self._clock() + self.scenario.clock_skew_seconds

    def make_id(self, prefix: str) -> str:
        """Make an id that no other sandbox has used."""
        return f"{prefix}{uuid4().hex[:24]}"

    def new_path(self, suffix: str) -> Path:
        """Name a new file in the sandbox's folder."""
        return self.folder / f"{uuid4().hex}{suffix}"

    def life(self, batch: BatchRecord) -> Timeline:
        """Lay out the life of a batch."""
        return timeline(
            batch,
            window_seconds=self.scenario.window_seconds,
            cancel_seconds=self.scenario.cancel_seconds,
        )

    def phase(self, batch: BatchRecord) -> Phase:
        """Return the current phase of a batch."""
        return phase_at(batch, self.life(batch), self.now())

    def is_final(self, batch: BatchRecord) -> bool:
        """Say whether a batch has come to its end."""
        return self.phase(batch) in FINAL

    def add_batch(self, batch: BatchRecord) -> None:
        """Add a batch, among the foreign ones that the scenario asks for."""
        others = self.scenario.foreign_batches
        for index in range(others // 2):
            self._add_foreign(batch, index)
        self.batches[batch.id] = batch
        for index in range(others // 2, others):
            self._add_foreign(batch, index)

    def listed(self, vendor: Vendor) -> list[BatchRecord]:
        """List a vendor's batches newest first, and count this list call."""
        shown: list[BatchRecord] = []
        for batch in reversed(self.batches.values()):
            if batch.vendor != vendor:
                continue
            if batch.hidden_calls > 0:
                batch.hidden_calls -= 1
            else:
                shown.append(batch)
        return shown

    def _add_foreign(self, like: BatchRecord, index: int) -> None:
        prefix = like.id.rpartition("_")[0] + "_"
        foreign = BatchRecord(
            id=self.make_id(prefix),
            vendor=like.vendor,
            n=like.n,
            path=like.path,
            created_at=like.created_at,
            latency_seconds=like.latency_seconds,
            endpoint=like.endpoint,
            version=like.version,
            input_file_id=self.make_id("file-sandbox-"),
            foreign_tag=f"foreign{index}",
        )
        self.batches[foreign.id] = foreign


WORLD: Final = web.AppKey("world", World)


def world_of(request: web.Request) -> World:
    """Find the sandbox a request belongs to."""
    return request.app[WORLD]
