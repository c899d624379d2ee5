"""A live run that ends by an error of somebody else's code, with answers that just came."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from batchata import BatchRun, Job
from batchata.core.config import RunConfig
from batchata.core.pacing import PaceCaps, Quota
from batchata.core.submission import Shape
from batchata.ports import BackgroundAPI, BatchAPI, Codec, FilesAPI, LiveAPI, LiveReply
from batchata.testing.fake_codec import FakeCodec, answer_body


class Faulty:
    """A provider of one's own: the last of so many calls ends in an error that nobody expects."""

    name = "openai"
    request_bytes: int | None = None

    def __init__(self, last: int) -> None:
        self.codec: Codec = FakeCodec("openai")
        self.live: LiveAPI | None = self
        self.batch: BatchAPI | None = None
        self.background: BackgroundAPI | None = None
        self.files: FilesAPI | None = None
        self.asked: Counter[bytes] = Counter()
        self._last = last

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        """Answer, but for the last one."""
        self.asked[body] += 1
        if self.asked.total() == self._last:
            await asyncio.sleep(0)
            raise RuntimeError("a fault of this provider")
        return LiveReply(Quota(), answer_body("well"), None)

    async def aclose(self) -> None:
        """Nothing is open."""


def test_answers_that_came_before_the_error_are_kept(tmp_path: Path) -> None:
    provider = Faulty(last=12)
    config = RunConfig(
        state_file=tmp_path / "state.db",
        route="live",
        raw_files=False,
        allow_unpriced=True,
        pace=PaceCaps(concurrency=4),
    )
    jobs = [Job(f"q{number}", "openai:m", prompt=f"{number}") for number in range(20)]

    with pytest.raises(RuntimeError, match="a fault of this provider"):
        BatchRun(config, jobs, made={"openai": provider}).start().wait()
    run = BatchRun(config, jobs, made={"openai": provider}).start()
    run.wait()

    assert run.status()["completed"] == 20
    assert sorted(provider.asked.values())[:-1] == [1] * 19
    assert provider.asked.total() <= 20 + 4  # those that were in flight
