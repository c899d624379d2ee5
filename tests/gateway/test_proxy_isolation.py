"""What a stranger's interceptor does wrong stays its own, at every hook."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import pytest
from conversation_lab import HI, exchange_of
from raw_lab import RawUpstream, call, request_bytes

from batchata.core.errors import ValidationError
from batchata.gateway import (
    CONTINUE,
    Exchange,
    Gateway,
    GatewayEvent,
    Interceptor,
    Outcome,
    Reject,
    Replace,
    Respond,
)
from batchata.gateway.proxy import server
from batchata.gateway.proxy.chain import Chain
from batchata.gateway.proxy.config.loading import load_config
from batchata.gateway.proxy.exchange import CHAT
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder
from batchata.gateway.proxy.isolation import Isolation
from batchata.gateway.proxy.server import serve
from batchata.gateway.proxy.telemetry import event_queue
from batchata.gateway.proxy.telemetry.event_queue import EventQueue


async def misbehave(how: str) -> None:
    if how == "hangs":
        await asyncio.Event().wait()
    if how == "is cancelled":  # as what awaits a task that somebody cancelled
        raise asyncio.CancelledError
    if how == "exits":
        raise SystemExit(3)
    raise ValueError("no")


class Wrong(Interceptor):
    """Does what it is told to, at the hook it is told to."""

    name = "wrong"

    def __init__(self, hook: str, how: Any) -> None:
        super().__init__()
        self.hook, self.how = hook, how

    async def _at(self, hook: str) -> None:
        if hook == self.hook:
            await misbehave(self.how)

    async def start(self) -> None:
        await self._at("start")

    async def on_request(self, exchange: Exchange) -> Outcome:
        if self.hook == "on_request" and not isinstance(self.how, str):
            outcome: Outcome = self.how()
            return outcome
        await self._at("on_request")
        return CONTINUE

    async def on_response(self, exchange: Exchange) -> None:
        await self._at("on_response")

    async def on_event(self, event: GatewayEvent) -> None:
        await self._at("on_event")

    async def flush(self) -> None:
        await self._at("flush")

    async def aclose(self) -> None:
        await self._at("aclose")

    def gauges(self) -> Mapping[str, float]:
        if self.hook == "gauges":
            raise ValueError("no")
        return {"fine": 1.0}


class WrongPolicy(Wrong):
    """The same, in the way of requests."""

    name = "wrong_policy"
    is_policy = True


# on_request


@pytest.mark.parametrize(
    "how",
    [
        *("raises", "is cancelled", "exits"),
        lambda: None,
        lambda: "go on",
        lambda: Replace(body="text"),  # type: ignore[arg-type]
        lambda: Replace(headers={"A": "b"}),  # type: ignore[arg-type]
        lambda: Respond(body={"a": 1}),  # type: ignore[arg-type]
        lambda: Respond(headers=(("A", "b\r\nC: d"),)),
        lambda: Respond(status=99),
        lambda: Reject(message="no", status=1000),
    ],
)
def test_an_outcome_that_is_none_lets_an_observers_request_go_on_and_refuses_a_policys(
    how: Any,
) -> None:
    asked = exchange_of(CHAT, 1, {"messages": [HI]})
    counts = Isolation()
    observer = Chain([Wrong("on_request", how)], counts)
    policy = Chain([WrongPolicy("on_request", how)], counts)

    assert asyncio.run(observer.on_request(asked)) is None
    name, refusal = asyncio.run(policy.on_request(asked)) or ("", None)

    assert isinstance(refusal, Reject)
    assert (name, refusal.status, refusal.code) == ("wrong_policy", 500, "policy_failed")
    assert counts.failures == 2


def test_what_no_answer_can_be_is_told_where_it_is_made() -> None:
    with pytest.raises(ValidationError, match="a body is bytes, not str"):
        Respond(body="text")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="cannot have the status 42"):
        Respond(status=42)
    with pytest.raises(ValidationError, match="headers are pairs"):
        Reject(message="no", headers={"A": "b"})  # type: ignore[arg-type]


def test_a_client_that_leaves_is_no_fault_of_the_interceptor_that_it_waited_for() -> None:
    counts = Isolation()
    chain = Chain([WrongPolicy("on_request", "hangs")], counts)

    async def leave() -> None:
        asked = asyncio.ensure_future(chain.on_request(exchange_of(CHAT, 1, {})))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    asyncio.run(leave())

    assert counts.failures == 0


# on_response


@pytest.mark.parametrize("how", ["raises", "is cancelled", "exits"])
def test_an_observer_that_fails_at_an_answer_keeps_the_others_from_nothing(how: str) -> None:
    recorder, counts = TestRecorder(), Isolation()
    chain = Chain([recorder, Wrong("on_response", how)], counts)

    async def end() -> None:
        await recorder.start()
        for number in range(3):
            await chain.on_response(exchange_of(CHAT, number, {}))

    asyncio.run(end())

    assert len(recorder.exchanges) == counts.failures == 3


# on_event, flush and aclose


def told(wrong: Interceptor, *, patience_seconds: float = 5.0) -> tuple[TestRecorder, Isolation]:
    """Who has been told of 600 events after one that misbehaves, up to the end."""
    recorder, counts = TestRecorder(), Isolation()
    queue = EventQueue([wrong, recorder], counts)

    async def tell() -> None:
        await recorder.start()
        queue.start()
        for number in range(600):
            queue.put(GatewayEvent("session.end", number, "s", "", "", "", {}, {}))
        await queue.aclose(patience_seconds=patience_seconds)

    asyncio.run(tell())
    return recorder, counts


@pytest.mark.parametrize("hook", ["on_event", "flush"])
@pytest.mark.parametrize("how", ["raises", "is cancelled", "exits"])
def test_an_observer_that_fails_keeps_no_event_from_the_others(hook: str, how: str) -> None:
    recorder, counts = told(Wrong(hook, how))

    assert [event.at_us for event in recorder.events] == [*range(600)]
    assert counts.failures == (600 if hook == "on_event" else 3)


@pytest.mark.parametrize("hook", ["on_event", "flush"])
def test_an_observer_that_never_comes_back_does_not_hold_up_the_end(hook: str) -> None:
    recorder, counts = told(Wrong(hook, "hangs"), patience_seconds=0.02)

    assert [event.at_us for event in recorder.events] == [*range(600)]
    assert counts.failures == 1


def test_an_observer_that_is_slow_is_told_everything_at_the_end() -> None:
    class Slow(TestRecorder):
        async def on_event(self, event: GatewayEvent) -> None:
            await asyncio.sleep(0.0005)
            await super().on_event(event)

    slow = Slow()
    asyncio.run(slow.start())

    _, counts = told(slow, patience_seconds=0.1)

    assert len(slow.events) == 600
    assert counts.failures == 0


def test_an_observer_is_not_given_up_for_a_process_that_stood_still() -> None:
    """As after a Ctrl-Z, or a pause of its container: nothing went on, this observer neither."""

    class Waiting(TestRecorder):
        async def on_event(self, event: GatewayEvent) -> None:
            if event.at_us == 300:
                queue._watch(None)
                asyncio.get_running_loop().call_soon(time.sleep, 0.02)
                await asyncio.sleep(0.001)
            await super().on_event(event)

    slow, counts = Waiting(), Isolation()
    queue = EventQueue([slow], counts)

    async def tell() -> None:
        await slow.start()
        queue.start()
        for number in range(600):
            queue.put(GatewayEvent("session.end", number, "s", "", "", "", {}, {}))
        await queue.aclose(patience_seconds=0.005)

    asyncio.run(tell())

    assert len(slow.events) == 600
    assert counts.failures == 0


def test_an_observer_that_never_comes_back_lets_requests_go_on_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(event_queue, "MOST_WAITING", 5)
    recorder = TestRecorder()

    async def tell() -> None:
        await recorder.start()
        queue = EventQueue([Wrong("on_event", "hangs"), recorder], Isolation())
        queue.start()
        for number in range(20):
            if queue.is_full:
                await queue.room()
            queue.put(GatewayEvent("session.end", number, "s", "", "", "", {}, {}))
        await queue.aclose()

    asyncio.run(asyncio.wait_for(tell(), 60))

    assert len(recorder.events) == 20


@pytest.mark.parametrize("hook", ["flush", "aclose"])
@pytest.mark.parametrize("how", ["raises", "is cancelled", "exits", "hangs"])
def test_every_interceptor_is_closed_whatever_one_of_them_does(hook: str, how: str) -> None:
    closed = []

    class Closing(Interceptor):
        async def aclose(self) -> None:
            closed.append(True)

    async def close() -> None:
        chain = Chain([Closing(), Wrong(hook, how)], Isolation())
        await chain.start()
        await chain.aclose(seconds=0.01)

    asyncio.run(close())

    assert closed == [True]


# gauges and start


def test_metrics_are_there_when_an_interceptor_cannot_say_its_own() -> None:
    with (
        RawUpstream() as upstream,
        Gateway(upstream.url, interceptors=[Wrong("gauges", "")]) as door,
    ):
        text = call(door.url, request_bytes(b"/metrics")).body

    assert b"interceptor_failures_total 1\n" in text
    assert b"in_flight 0" in text


@pytest.mark.parametrize("value", [None, "many", [1]], ids=str)
def test_what_is_no_number_spoils_no_other_numbers(value: Any) -> None:
    class Odd(Interceptor):
        name = "odd"

        def gauges(self) -> Mapping[str, float]:
            return {"thing": value}

    class Good(Interceptor):
        name = "good"

        def gauges(self) -> Mapping[str, float]:
            return {"thing": True}

    counts = Isolation()
    chain = Chain([Odd(), Good(), Good()], counts)
    asyncio.run(chain.start())

    assert chain.gauges() == {"good_thing": [1, 1]}
    assert counts.failures == 1


def test_who_waits_for_a_gateway_is_told_why_it_does_not_start() -> None:
    class Broken(Interceptor):
        async def start(self) -> None:
            raise RuntimeError("my library is not there")

    with (
        pytest.raises(RuntimeError, match="my library"),
        Gateway("http://h", interceptors=[Broken()]),
    ):
        pass


def test_a_signal_ends_a_gateway_that_does_not_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(self: TestRecorder) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    monkeypatch.setattr(TestRecorder, "start", hang)
    given = {"llm": {"base_url": "http://h"}, "interceptors": ["test_recorder"]}
    config = load_config(None, {("server", "port"): 0}, environment={}, given=given)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(serve(config))


@pytest.mark.parametrize("is_again", [True, False])
def test_a_second_signal_ends_it_at_once_unless_it_comes_with_the_first(
    monkeypatch: pytest.MonkeyPatch, is_again: bool
) -> None:
    ended = []

    async def close(self: TestRecorder) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60 if is_again else 0.01)
        ended.append(True)

    monkeypatch.setattr(TestRecorder, "aclose", close)
    monkeypatch.setattr(server, "_TWICE_SECONDS", -1 if is_again else 1e6)
    given = {"llm": {"base_url": "http://h"}, "interceptors": ["test_recorder"]}
    config = load_config(None, {("server", "port"): 0}, environment={}, given=given)
    serving = serve(config, on_ready=lambda url: os.kill(os.getpid(), signal.SIGTERM))

    if is_again:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(serving)
    else:
        asyncio.run(serving)

    assert ended == ([] if is_again else [True])
