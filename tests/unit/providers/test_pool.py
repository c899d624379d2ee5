"""Several servers behind one: who is asked, who is left alone, who comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest

from batchata.core.errors import OutcomeUnknownError, ProviderUnavailableError
from batchata.core.pacing import Quota
from batchata.core.result import Failure, Reason
from batchata.core.submission import Shape
from batchata.ports import LiveReply
from batchata.providers import pool as pool_module
from batchata.providers.pool import ServerPool

SHAPE = Shape(provider="openai", endpoint="/v1/chat/completions", model="m")
USED = b'"usage": {"prompt_tokens": 3, "completion_tokens": 5}'
GOOD = LiveReply(Quota(), b'{"choices": [{}], %b}' % USED)
BUSY = LiveReply(Quota(), None, Failure(Reason.RATE_LIMITED, "busy"), None, True)
BROKEN = LiveReply(Quota(), None, Failure(Reason.SERVER_ERROR, "500"))
NO_MODEL = LiveReply(Quota(), None, Failure(Reason.INVALID_REQUEST, "no model", status=404))
CLOSED = LiveReply(Quota(), None, Failure(Reason.ACCOUNT, "no key", status=401))
NOBODY = LiveReply(Quota(), None, Failure(Reason.OVERLOADED, "nobody", status=503))
PAGE = LiveReply(Quota(), b"<html>Log in</html>")
ERROR = LiveReply(Quota(), b'{"error": {"message": "out of memory"}}')
CUT = LiveReply(Quota(), b'{"choices": [{"finish_reason": "abort"}]}')
NOT_HERE = pytest.mark.parametrize(
    "said", [NO_MODEL, CLOSED, NOBODY, PAGE, ERROR], ids=["404", "401", "503", "page", "error"]
)


class Farm:
    """Servers by name, each of which answers as it is told."""

    def __init__(self, **says: Any) -> None:
        self.says = says
        self.asked: Counter[str] = Counter()
        self.open: dict[str, asyncio.Event] = {}
        lives = {name: _Live(self, name) for name in says}
        self.pool = ServerPool(lives, self.probe, patience_seconds=0.05)

    async def probe(self, url: str) -> None:
        if self.says[url] is not GOOD:
            raise ProviderUnavailableError(f"{url} is not there")

    def up(self) -> list[str]:
        return [each.url for each in self.pool.servers if each.is_up]


class _Live:
    request_bytes = None

    def __init__(self, farm: Farm, name: str) -> None:
        self.farm, self.name = farm, name

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        self.farm.asked[self.name] += 1
        await asyncio.sleep(0)
        said = self.farm.says[self.name]
        if isinstance(said, Exception):
            raise said
        if isinstance(said, asyncio.Event):
            await said.wait()
            return GOOD
        assert isinstance(said, LiveReply)
        return said


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def many(farm: Farm, count: int) -> list[LiveReply]:
    return await asyncio.gather(*(farm.pool.send(SHAPE, b"{}") for _ in range(count)))


def test_calls_are_spread_evenly() -> None:
    farm = Farm(a=GOOD, b=GOOD, c=GOOD)

    run(many(farm, 30))

    assert set(farm.asked.values()) == {10}


def test_a_slow_server_gets_no_more_than_its_share_of_those_in_flight() -> None:
    async def go() -> Farm:
        farm = Farm(a=asyncio.Event(), b=GOOD)
        slow = [asyncio.ensure_future(farm.pool.send(SHAPE, b"{}")) for _ in range(4)]
        await asyncio.sleep(0)
        for _ in range(20):
            await farm.pool.send(SHAPE, b"{}")
        farm.says["a"].set()
        await asyncio.gather(*slow)
        return farm

    farm = run(go())

    assert farm.asked == {"a": 2, "b": 22}


def test_rows_of_a_dead_server_go_to_the_others() -> None:
    farm = Farm(a=ProviderUnavailableError("refused"), b=GOOD)

    replies = run(many(farm, 10))

    assert replies == [GOOD] * 10
    assert farm.up() == ["b"]
    assert farm.asked["b"] == 10


def test_a_busy_server_hands_its_call_on() -> None:
    farm = Farm(a=BUSY, b=GOOD)

    replies = run(many(farm, 10))

    assert replies == [GOOD] * 10
    assert farm.up() == ["a", "b"]


def test_when_all_are_busy_the_caller_is_told() -> None:
    farm = Farm(a=BUSY, b=BUSY)

    assert run(farm.pool.send(SHAPE, b"{}")) is BUSY
    assert farm.asked == {"a": 1, "b": 1}


def test_a_call_that_may_have_been_taken_is_not_repeated() -> None:
    farm = Farm(a=OutcomeUnknownError("cut"), b=OutcomeUnknownError("cut"))

    with pytest.raises(OutcomeUnknownError):
        run(farm.pool.send(SHAPE, b"{}"))

    assert farm.asked.total() == 1


def test_a_server_with_faults_in_a_row_is_left_alone() -> None:
    async def go() -> Farm:
        farm = Farm(a=BROKEN, b=GOOD)
        for _ in range(20):
            await farm.pool.send(SHAPE, b"{}")
        return farm

    farm = run(go())

    assert farm.up() == ["b"]
    assert farm.asked["a"] == 3


@NOT_HERE
def test_a_server_that_cannot_answer_loses_no_row_and_is_left_alone(said: LiveReply) -> None:
    farm = Farm(a=said, b=GOOD)

    replies = run(many(farm, 20))

    assert replies == [GOOD] * 20
    assert farm.up() == ["b"]


@pytest.mark.parametrize("said", [NO_MODEL, CLOSED, PAGE], ids=["404", "401", "page"])
def test_what_every_server_says_is_told(said: LiveReply) -> None:
    async def go() -> tuple[Farm, list[LiveReply]]:
        farm = Farm(a=said, b=said)
        return farm, [await farm.pool.send(SHAPE, b"{}") for _ in range(10)]

    farm, replies = run(go())

    assert replies == [said] * 10  # and none waits for a server that would answer
    assert len(farm.up()) == 1


@NOT_HERE
@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_busy_server_will_answer_yet(said: LiveReply, names: str) -> None:
    farm = Farm(**dict(zip(names, (said, BUSY), strict=True)))

    assert run(farm.pool.send(SHAPE, b"{}")) is BUSY


def test_a_server_that_breaks_answers_off_is_left_alone() -> None:
    async def go() -> Farm:
        farm = Farm(a=CUT, b=GOOD)
        for _ in range(20):
            await farm.pool.send(SHAPE, b"{}")
        return farm

    assert run(go()).up() == ["b"]


def test_one_that_is_healthy_and_answers_nothing_is_looked_at_less_and_less() -> None:
    async def go() -> list[float]:
        now, waits = 0.0, []
        farm = Farm(a=NO_MODEL, b=GOOD)
        pool = ServerPool({"a": _Live(farm, "a"), "b": _Live(farm, "b")}, _fine, clock=lambda: now)
        (server, _) = pool.servers
        for _ in range(9):
            while server.is_up:
                await pool.send(SHAPE, b"{}")
            waits.append(server.look_at - now)
            now = server.look_at
            await pool.look()
        return waits

    assert run(go()) == [0, 1, 3, 7, 15, 31, 60, 60, 60]


async def _fine(url: str) -> None:
    """A server that is healthy."""


def test_a_server_that_is_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_WATCH_SECONDS", 0.001)

    async def go() -> Farm:
        farm = Farm(a=ProviderUnavailableError("refused"), b=GOOD)
        await many(farm, 4)
        assert farm.up() == ["b"]
        farm.says["a"] = GOOD
        farm.asked.clear()
        watching = asyncio.ensure_future(farm.pool.watch())
        while farm.up() != ["a", "b"]:
            await asyncio.sleep(0)
        watching.cancel()
        await many(farm, 10)
        return farm

    assert run(go()).asked == {"a": 5, "b": 5}


def test_without_any_server_calls_wait_and_then_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    farm = Farm(a=ProviderUnavailableError("refused"), b=ProviderUnavailableError("refused"))

    with pytest.raises(ProviderUnavailableError, match=r"no server can be reached: a, b"):
        run(farm.pool.send(SHAPE, b"{}"))

    assert farm.pool.down_since is not None


def test_each_server_reports_what_it_did() -> None:
    farm = Farm(a=GOOD, b=BUSY)

    run(many(farm, 4))

    report = farm.pool.servers[0].report()
    assert (report["answered"], report["input_tokens"], report["output_tokens"]) == (4, 12, 20)
    assert sum(report["latencies"].values()) == 4
