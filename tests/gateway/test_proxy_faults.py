"""What fails in the gateway itself takes nobody's answer away, and leaves nothing open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from raw_lab import JSON, RawUpstream, Reply, call, request_bytes

from batchata.gateway import Gateway, Interceptor
from batchata.gateway.proxy.config.loading import load_config
from batchata.gateway.proxy.core import Core
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder
from batchata.gateway.proxy.server import running
from batchata.gateway.proxy.telemetry.metrics import Metrics
from batchata.gateway.proxy.telemetry.sessions import Sessions


@pytest.fixture(scope="module")
def parts() -> Iterator[tuple[RawUpstream, Gateway]]:
    with RawUpstream() as upstream, Gateway(upstream.url) as gateway:
        yield upstream, gateway


def ask(url: str) -> Reply:
    body = b'{"model":"m","messages":[]}'
    return call(url, request_bytes(b"/v1/chat/completions", JSON, method=b"POST", body=body))


def failures(url: str) -> int:
    lines = call(url, request_bytes(b"/metrics")).body.splitlines()
    told = next(each for each in lines if each.startswith(b"batchata_gateway_interceptor_f"))
    return int(told.rpartition(b" ")[2])


@pytest.mark.parametrize(
    ("kind", "step", "said"),
    [
        (Core, "_price", "the settlement of an exchange failed"),
        (Metrics, "count", "what follows an exchange failed"),
        (Sessions, "learn", "what follows an exchange failed"),
    ],
)
def test_an_answer_reaches_its_client_whatever_fails_in_telling_of_it(
    kind: type,
    step: str,
    said: str,
    url: str,
    upstream: RawUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(*_: object) -> None:
        raise ArithmeticError("planted")

    before = failures(url)
    monkeypatch.setattr(kind, step, failing)
    reply = ask(url)

    assert (reply.status, reply.body) == (200, b"{}")
    assert failures(url) == before + 1
    assert said in caplog.text


def test_at_the_end_all_is_closed_whatever_one_part_raises(
    upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, closed = TestRecorder(), []

    async def failing(self: Core) -> None:
        raise OSError("planted")

    async def noted(self: TestRecorder) -> None:
        closed.append(len(self.events))

    monkeypatch.setattr(Core, "aclose", failing)
    monkeypatch.setattr(TestRecorder, "aclose", noted)
    config = load_config(
        given={"llm": {"base_url": upstream.url}, "server": {"port": 0}}, environment={}
    )

    async def serve() -> None:
        async with running(config, interceptors=[recorder]) as gateway:
            await asyncio.to_thread(ask, gateway.url)

    with pytest.raises(OSError, match="planted"):
        asyncio.run(serve())

    assert closed == [4], "start and end of the call and of its session"


def test_a_gateway_that_cannot_start_for_a_fault_of_code_says_so_and_keeps_nobody_waiting() -> None:
    class Faulty(Interceptor):
        name = "faulty"

        async def start(self) -> None:
            raise ArithmeticError("planted")

    with (
        pytest.raises(ArithmeticError, match="planted"),
        Gateway("http://127.0.0.1:1", interceptors=[Faulty()]),
    ):
        pass
