"""Batches of the gateway's own where a server, a disk or one request is odd."""

from __future__ import annotations

import errno
from decimal import Decimal
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

import openai
import orjson
import pyarrow.parquet
import pytest
from batch_lab import HeldModel, chat, client_of, ended, gateway, lines_of, submit, until
from budget_lab import BOOK, GPT, used_usd
from raw_lab import RawUpstream, Seen
from sandbox_lab import Lab

from batchata.core.config import RunConfig
from batchata.core.retry import Backoff
from batchata.core.usage import Usage
from batchata.gateway import Gateway, Interceptor
from batchata.gateway.batches import relay, runner, store
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.interceptor import CONTINUE, Outcome, Reject
from batchata.providers.control import Patience
from batchata.providers.transport import Reply, Transport

HEAD = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
PROVIDERS = {GPT: "openai", "local-1": "vllm"}
FULL = OSError(errno.ENOSPC, "No space left on device")


def cost_usd(folder: Path) -> Decimal:
    """What the results of the one batch in a folder have cost."""
    (table,) = folder.glob("batches/*/results/*.parquet")
    costs = pyarrow.parquet.read_table(table).column("cost_usd").to_pylist()
    return sum(map(Decimal, map(str, costs)), Decimal())


def text_of(seen: Seen) -> str:
    return str(orjson.loads(seen.body)["messages"][0]["content"])


def test_answers_that_a_server_writes_over_several_lines_are_one_each(tmp_path: Path) -> None:
    def answer(connection: socket, seen: Seen) -> None:
        is_good = text_of(seen) == "good"
        body = b'{\r\n  "choices": []\n}' if is_good else b'{\n  "error": {"message": "no"}\r\n}'
        connection.sendall(HEAD % (200 if is_good else 400, len(body)) + body)

    with (
        RawUpstream(answer) as upstream,
        gateway(upstream.url, tmp_path) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch = ended(client, submit(client, [chat("good"), chat("bad")]))

        good = lines_of(client, batch.output_file_id)["good"]
        assert good["response"]["body"] == {"choices": []}
        bad = lines_of(client, batch.error_file_id)["bad"]
        assert bad["response"]["body"] == {"error": {"message": "no"}}


class _Guard(Interceptor):
    async def on_request(self, exchange: Exchange) -> Outcome:
        return Reject(message="not that") if b"forbidden" in (exchange.body or b"") else CONTINUE


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_request_that_may_not_be_asked_does_not_end_the_batch(tmp_path: Path, kind: Any) -> None:
    flagged = b'{"error": {"code": 403, "message": "your input was flagged"}}'

    def answer(connection: socket, seen: Seen) -> None:
        is_flagged = text_of(seen) == "flagged"
        body = flagged if is_flagged else b'{"choices": []}'
        connection.sendall(HEAD % (403 if is_flagged else 200, len(body)) + body)

    config = {"batches": {"directory": str(tmp_path), "concurrency": 1}}
    names = ["flagged", "forbidden", "a", "b"]
    with (
        RawUpstream(answer) as upstream,
        Gateway(upstream.url, type=kind, config=config, interceptors=[_Guard()]) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch = ended(client, submit(client, list(map(chat, names))))

        assert set(lines_of(client, batch.output_file_id)) == {"a", "b"}
        bad = lines_of(client, batch.error_file_id)
        assert {each["response"]["status_code"] for each in bad.values()} == {403}


def test_a_full_disk_is_told_and_stops_what_is_cancelled_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise FULL

    model = HeldModel()
    with (
        model.upstream() as upstream,
        gateway(upstream.url, tmp_path, batches={"concurrency": 1}) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch_id = submit(client, [chat("hold"), chat("never")])
        until(lambda: model.asked["hold"])
        with monkeypatch.context() as patch:
            patch.setattr(store, "atomic_write", refuse)
            said = "cannot use .* No space left"
            with pytest.raises(openai.InternalServerError, match=said) as refused:
                client.files.create(file=("in.jsonl", b"{}"), purpose="batch")
            with pytest.raises(openai.InternalServerError, match=said):
                client.batches.cancel(batch_id)
        client.batches.cancel(batch_id)  # as its SDK does
        record = tmp_path / "batches" / batch_id / "batch.json"
        assert orjson.loads(record.read_bytes())["cancelling_at"]
        model.go_on.set()
        batch = ended(client, batch_id)

    assert (refused.value.status_code, refused.value.code) == (503, "disk_error")
    assert batch.status == "cancelled"
    assert not model.asked["never"]


def test_a_result_costs_what_the_tier_costs_that_answered_it(lab: Lab, tmp_path: Path) -> None:
    kinds = [
        {"type": "flex"},
        {"type": "budget", "config": {"limit_usd": 5, "state": str(tmp_path / "s.db")}},
    ]
    lines = [lab.chat_line(str(number), max_completion_tokens=100) for number in range(3)]
    with (
        gateway(lab.box.url, tmp_path / "batches", interceptors=kinds) as door,
        client_of(door.openai_base_url) as client,
    ):
        ended(client, submit(client, lines))

    assert cost_usd(tmp_path / "batches") == used_usd(tmp_path / "s.db") > 0


@pytest.mark.parametrize("names", [("local-1", GPT), (GPT, "local-1")])
def test_a_result_costs_what_its_own_upstream_asks(tmp_path: Path, names: tuple[str, str]) -> None:
    first, second = HeldModel(), HeldModel()
    with first.upstream() as one, second.upstream() as other:
        upstreams = [
            {"base_url": each.url, "models": [name], "provider": PROVIDERS[name]}
            for each, name in zip((one, other), names, strict=True)
        ]
        config = {"upstreams": upstreams, "batches": {"directory": str(tmp_path)}}
        with Gateway(config=config) as door, client_of(door.openai_base_url) as client:
            ended(client, submit(client, [chat("a", model=GPT)]))

    assert first.asked.total() + second.asked.total() == 1
    assert cost_usd(tmp_path) == BOOK.card("openai", GPT, "standard").cost_usd(Usage(3, 2))


def test_a_row_is_asked_live_also_where_other_calls_wait_for_a_batch(
    lab: Lab, tmp_path: Path
) -> None:
    holds = {"window": "1h", "directory": str(tmp_path / "held")}
    lines = [lab.chat_line(str(number), max_completion_tokens=100) for number in range(3)]
    with (
        gateway(lab.box.url, tmp_path / "batches", to_batch=holds) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch = ended(client, submit(client, lines))

    assert batch.request_counts.completed == len(lab.box.ledger.live) == 3
    assert not lab.box.ledger.batches


def test_a_server_that_shows_signs_of_life_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[Patience] = []

    class Watched(Transport):
        def __init__(self, patience: Patience) -> None:
            waits.append(patience)
            super().__init__(patience)

        async def post(self, *given: Any, seconds: float | None = None) -> Reply:
            assert seconds is None, "a time for the whole answer"
            return await super().post(*given)

    monkeypatch.setattr(relay, "Transport", Watched)
    model = HeldModel()
    with (
        model.upstream() as upstream,
        gateway(upstream.url, tmp_path, server={"idle_seconds": 1234}) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch = ended(client, submit(client, [chat("a")]))

    assert batch.request_counts.completed == 1
    assert waits[0].loading > 1234


def test_a_server_that_is_not_ready_is_waited_for_and_no_request_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Backoff(first_seconds=0.01, most_seconds=0.01)
    monkeypatch.setattr(runner, "RunConfig", partial(RunConfig, backoff=quick))
    model = HeldModel(status=503, error={"message": "Loading model", "code": 503})
    with (
        model.upstream() as upstream,
        gateway(upstream.url, tmp_path, batches={"concurrency": 1}) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch_id = submit(client, [chat("a"), chat("b")])
        until(lambda: model.asked.total() > 8)
        model.status = 200
        batch = ended(client, batch_id)

    assert batch.request_counts.completed == 2
