"""Observers that hold answers up are given up, and no others."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from conversation_lab import exchange_of

from batchata.gateway import Exchange, Interceptor
from batchata.gateway.proxy import chain as chain_module
from batchata.gateway.proxy.chain import Chain
from batchata.gateway.proxy.exchange import CHAT
from batchata.gateway.proxy.interceptors.record import Record
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder
from batchata.gateway.proxy.isolation import Isolation


class Hanging(Interceptor):
    """Never comes back."""

    name = "hanging"

    async def on_response(self, exchange: Exchange) -> None:
        await asyncio.Event().wait()


class HangingRecord(Record):
    """Records an answer, and then does not come back."""

    async def on_response(self, exchange: Exchange) -> None:
        await super().on_response(exchange)
        await asyncio.Event().wait()


def test_an_observer_that_holds_answers_up_is_told_of_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chain_module, "TOLD_WITHIN_SECONDS", 0.01)
    recorder, counts = TestRecorder(), Isolation()
    chain = Chain([recorder, Hanging()], counts)

    async def end() -> None:
        await recorder.start()
        for number in range(3):
            await chain.on_response(exchange_of(CHAT, number, {}))

    asyncio.run(end())

    assert len(recorder.exchanges) == 3
    assert counts.failures == 1


@pytest.mark.parametrize("fails", [False, True])
def test_an_observer_of_answers_is_not_given_up_for_a_process_that_stood_still(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    class Waiting(TestRecorder):
        async def on_response(self, exchange: Exchange) -> None:
            asyncio.get_running_loop().call_soon(time.sleep, 0.02)
            await asyncio.sleep(0.001)
            await super().on_response(exchange)
            if fails:
                raise ValueError("no")

    monkeypatch.setattr(chain_module, "TOLD_WITHIN_SECONDS", 0.01)
    slow, counts = Waiting(), Isolation()
    chain = Chain([slow], counts)

    async def end() -> None:
        await slow.start()
        for number in range(3):
            await chain.on_response(exchange_of(CHAT, number, {}))

    asyncio.run(end())

    assert len(slow.exchanges) == 3
    assert counts.failures == (3 if fails else 0)


def test_an_observer_that_is_told_of_no_more_answers_is_told_of_no_more_requests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chain_module, "TOLD_WITHIN_SECONDS", 0.01)
    record = HangingRecord(directory=tmp_path)
    chain = Chain([record], Isolation())

    async def go_on() -> None:
        await chain.start()
        for number in range(3):
            asked = exchange_of(CHAT, number, {})
            await chain.on_request(asked)
            await chain.on_response(asked)
        await chain.aclose(seconds=1)

    asyncio.run(go_on())

    assert not record._open
