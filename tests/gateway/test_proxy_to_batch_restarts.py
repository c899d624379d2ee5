"""Held calls when the gateway ends or is killed, and starts again."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from budget_lab import used_usd
from held_lab import SLOW, asked, holding, price, until
from killable_lab import killable
from openai.types import CompletionUsage
from raw_lab import call, connect, read_reply, request_bytes
from sandbox_lab import Lab

from batchata.core.errors import StateLockedError
from batchata.gateway import Gateway, Sandbox, Scenario
from batchata.gateway.held import asking
from batchata.gateway.held.folder import Asked, Call, Group, HeldFolder
from batchata.gateway.held.group_runner import GroupRunner
from batchata.gateway.held.held_calls import HeldCalls
from batchata.gateway.held.keys import HeldKeys
from batchata.gateway.held.waiting import HeldCall
from batchata.gateway.proxy.http.upstreams import Upstreams
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder

if TYPE_CHECKING:
    from zygote import Zygote


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "POLL_FACTOR", 0.01)


def test_a_gateway_that_is_stopped_tells_its_clients_to_ask_again(lab: Lab, tmp_path: Path) -> None:
    lab.play(latency_seconds=SLOW)
    with connect_and_stop(lab, tmp_path) as connection:
        told = read_reply(connection.makefile("rb"))
    lab.clock.now += SLOW

    set_aside = used_usd(tmp_path / "budget.db")
    with holding(lab.box.url, tmp_path) as gateway:
        reply = call(gateway.url, asked())

    cost = price(CompletionUsage(**orjson.loads(reply.body)["usage"]), "batch")
    assert (told.status, reply.status) == (503, 200)
    assert lab.box.ledger.billed_items == 1
    assert set_aside > used_usd(tmp_path / "budget.db") == cost


def test_what_a_killed_gateway_has_settled_is_not_given_back_twice(
    lab: Lab, tmp_path: Path
) -> None:
    lab.play(latency_seconds=SLOW)
    with connect_and_stop(lab, tmp_path):
        pass
    kept, budget = tmp_path / "held", tmp_path / "budget.db"
    (group,) = (each for each in kept.iterdir() if each.is_dir())
    (group / "settled").write_text(
        f"{orjson.loads((group / 'group.json').read_bytes())['calls'][0]['id']}\n"
    )
    set_aside = used_usd(budget)
    lab.clock.now += SLOW

    with holding(lab.box.url, tmp_path) as gateway:
        reply = call(gateway.url, asked())

    assert reply.status == 200
    assert used_usd(budget) == set_aside


def connect_and_stop(lab: Lab, folder: Path) -> socket.socket:
    """A client of a gateway that ends while it has a call in a batch."""
    with holding(lab.box.url, folder) as gateway:
        connection = connect(gateway.url)
        connection.sendall(asked())
        until(lambda: lab.box.ledger.batches)
        return connection


def test_a_call_that_no_vendor_has_heard_of_costs_nothing(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather, timers = HeldCalls._gather, []

    def watched(holding: HeldCalls, *args: Any) -> Any:
        held = gather(holding, *args)
        timers.extend(each.timer for each in holding._gathering.values())
        return held

    monkeypatch.setattr(HeldCalls, "_gather", watched)
    with holding(lab.box.url, tmp_path, gather_seconds=60) as gateway:
        connection = connect(gateway.url)
        connection.sendall(asked())
        until(lambda: b"held_gathering 1" in call(gateway.url, request_bytes(b"/metrics")).body)
    with connection:
        told = read_reply(connection.makefile("rb"))

    assert told.status == 503
    assert used_usd(tmp_path / "budget.db") == 0
    assert lab.box.ledger.batches == []
    assert [timer.cancelled() for timer in timers if timer] == [True]  # while others still end


def test_a_killed_gateway_pays_once_and_loses_nothing(tmp_path: Path, zygote: Zygote) -> None:
    with Sandbox(Scenario(latency_seconds=SLOW)) as box:
        section = {"directory": str(tmp_path / "held"), "gather_seconds": 0.05}
        config = {"llm": {"base_url": box.url}, "server": {"port": 0}, "to_batch": section}
        with (
            killable(zygote, config, tmp_path, "--to-batch", "1h") as (process, url),
            connect(url) as connection,
        ):
            connection.sendall(asked())
            until(lambda: box.ledger.batches)
            process.kill()
        box.set_scenario(Scenario(clock_skew_seconds=SLOW + 1))
        (kept,) = (tmp_path / "held").glob("*/group.json")
        begun = orjson.loads(kept.read_bytes())["calls"][0]["asked"]["exchange_id"]

        with holding(box.url, tmp_path, interceptors=[recorder := TestRecorder()]) as gateway:
            reply = call(gateway.url, asked())
        bill = box.ledger

    assert reply.status == 200
    ends = [each for each in recorder.events if each.name == "llm.call.finish"]
    assert [each.exchange_id for each in ends].count(begun) == 1
    assert (len(bill.batches), bill.billed_items, bill.live) == (1, 1, [])


def test_two_gateways_do_not_share_what_they_hold(lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    held = str(tmp_path / "held")

    with (
        holding(lab.box.url, tmp_path),
        pytest.raises(StateLockedError),
        holding(lab.box.url, other, directory=held),
    ):
        raise AssertionError("the second gateway runs")


def test_an_answer_that_a_later_start_collects_is_recorded_like_any_other(
    lab: Lab, tmp_path: Path
) -> None:
    lab.play(latency_seconds=SLOW)
    section = {"window": "1h", "directory": str(tmp_path / "held"), "gather_seconds": 0.05}
    tape = [{"type": "record", "config": {"directory": str(tmp_path / "cassettes")}}]
    config = {"to_batch": section, "interceptors": tape}
    with Gateway(lab.box.url, config=config) as gateway, connect(gateway.url) as connection:
        connection.sendall(asked(stream=True))
        until(lambda: lab.box.ledger.batches)
    lab.clock.now += SLOW
    with Gateway(lab.box.url, config=config) as gateway:
        said = call(gateway.url, asked(stream=True))
    tape[0]["type"] = "replay"
    with Gateway("http://127.0.0.1:9", config={"interceptors": tape}) as gateway:
        again = call(gateway.url, asked(stream=True))

    assert said.body.startswith(b"data: ")
    assert again.body == said.body


def test_a_call_that_comes_while_the_gateway_ends_is_told_to_ask_again_and_costs_nothing(
    lab: Lab, tmp_path: Path
) -> None:
    with holding(lab.box.url, tmp_path, gather_seconds=1_000) as gateway:
        core = gateway._up().core
        assert core.held_calls is not None
        core.held_calls.stop()
        reply = call(gateway.url, asked())

    assert reply.status == 503
    assert used_usd(tmp_path / "budget.db") == 0
    assert lab.box.ledger.batches == []


def test_what_outlives_the_end_is_stopped_and_left_to_the_next_start(tmp_path: Path) -> None:
    async def end() -> tuple[asyncio.Task[None], HeldCall]:
        codec = GroupRunner(
            HeldFolder(tmp_path),
            Upstreams([]),
            {},
            keys=HeldKeys(),
            settle=lambda exchange, answered: None,
            forget=lambda held: None,
        )
        wait = asyncio.Event().wait
        codec._run = lambda group: wait()  # type: ignore[method-assign, assignment, return-value]
        by = {"session_id": "s", "agent_id": "", "tags": {}, "model": "m", "client": ""}
        found = Call("c1", b"", Asked(exchange_id="x", set_aside=None, **by))
        group = Group(
            id="held_1",
            vendor="openai",
            owner="",
            upstream="u",
            provider="openai",
            endpoint="/v1/chat/completions",
            headers={},
            batch_seconds=1,
            calls=[found],
        )
        held = HeldCall(found, asyncio.get_running_loop().create_future(), group=group)
        codec.carry(group, [held])
        (task,) = codec._tasks
        await asyncio.sleep(0)  # it begins
        await codec.aclose(0.01)
        return task, held

    task, held = asyncio.run(end())

    assert task.cancelled()
    assert not held.done.done()
