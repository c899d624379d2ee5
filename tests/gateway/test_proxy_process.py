"""The gateway as a process of its own: what is lost when it is told to end."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from killable_lab import killable
from raw_lab import JSON, OK, RawUpstream, Seen, call, request_bytes

from batchata.core.usage import Usage, from_parts
from batchata.gateway import Sandbox
from batchata.prices import GenaiPriceBook
from batchata.stores.spending import TOTAL, SpendFile

if TYPE_CHECKING:
    from zygote import Zygote

ANSWER = orjson.dumps(
    {
        "id": "c1",
        "model": "gpt-6-luna",
        "choices": [{"index": 0, "message": {"content": "Fine."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 10},
    }
)


def lines_of(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_the_end_of_its_terminal_stops_it_in_good_order(tmp_path: Path, zygote: Zygote) -> None:
    with RawUpstream(lambda connection, seen: connection.sendall(OK)) as upstream:
        events = {"type": "event_recorder", "config": {"directory": str(tmp_path / "events")}}
        server = {"port": 0}
        config = {"llm": {"base_url": upstream.url}, "server": server, "interceptors": [events]}
        asked = request_bytes(b"/v1/chat/completions", JSON, method=b"POST", body=b'{"model":"m"}')
        with killable(zygote, config, tmp_path) as (process, url):
            assert call(url, asked).status == 200
            process.send_signal(signal.SIGHUP)
            assert process.wait(60) == 0, process.stderr.read()

    assert lines_of(tmp_path / "events" / "events.jsonl")[-1]["name"] == "session.end"


def test_sigterm_loses_no_answer_no_event_and_no_cost(tmp_path: Path, zygote: Zygote) -> None:
    asked, goes_on = Event(), Event()

    def script(connection: Any, seen: Seen) -> None:
        if b"last" in seen.body:
            asked.set()
            assert goes_on.wait(60)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(ANSWER) + ANSWER)

    def ask(url: str, content: str) -> int:
        body = orjson.dumps(
            {
                "model": "gpt-6-luna",
                "max_completion_tokens": 50,
                "messages": [{"role": "user", "content": content}],
            }
        )
        request = request_bytes(b"/v1/chat/completions", JSON, method=b"POST", body=body)
        return call(url, request).status

    with RawUpstream(script) as upstream, ThreadPoolExecutor(8) as pool:
        places = {"message_logger": "log", "event_recorder": "events", "record": "tape"}
        interceptors: list[dict[str, Any]] = [
            {"type": name, "config": {"directory": str(tmp_path / place)}}
            for name, place in {**places, "parquet": "tables"}.items()
        ]
        budget = {"limit_usd": 1, "state": str(tmp_path / "state.db")}
        interceptors.append({"type": "budget", "config": budget})
        config = {
            "llm": {"base_url": upstream.url},
            "server": {"port": 0},
            "interceptors": interceptors,
            "batches": {"directory": str(tmp_path / "batches")},
        }
        with killable(zygote, config, tmp_path) as (process, url):
            found = list(pool.map(lambda number: ask(url, f"question {number}"), range(40)))
            last = pool.submit(ask, url, "last")
            assert asked.wait(60)
            process.send_signal(signal.SIGTERM)
            goes_on.set()
            assert last.result() == 200
            assert process.wait(60) == 0, process.stderr.read()

    assert found == [200] * 40
    assert len(lines_of(tmp_path / "log" / "message_log.jsonl")) == 41
    assert len(lines_of(tmp_path / "tape" / "cassette.jsonl")) == 41
    events = lines_of(tmp_path / "events" / "events.jsonl")
    for name in ("session.start", "llm.call.start", "llm.call.finish", "session.end"):
        assert sum(event["name"] == name for event in events) == 41
    starts = {each["exchange_id"] for each in events if each["name"] == "llm.call.start"}
    ends = {each["exchange_id"] for each in events if each["name"] == "llm.call.finish"}
    assert starts == ends
    ledger = SpendFile(tmp_path / "state.db")
    once = GenaiPriceBook().card("openai", "gpt-6-luna", "standard").cost_usd(Usage(10, 10))
    assert from_parts(ledger.read(*TOTAL).most) == 41 * once
    ledger.close()
    written = {each for each in tmp_path.rglob("*") if each.name != "gateway.yaml"}
    assert not [each for each in written if each.stat().st_mode & 0o077]


@pytest.mark.slow
def test_no_kill_makes_the_gateway_spend_more_than_the_limit(
    tmp_path: Path, zygote: Zygote
) -> None:
    limit = Decimal("0.01")
    card = GenaiPriceBook().card("openai", "gpt-6-luna", "standard")
    state = tmp_path / "state.db"

    def billed(box: Sandbox) -> Decimal:
        used = [Usage(each.input_tokens, each.output_tokens) for each in box.ledger.live]
        return sum((card.cost_usd(each) for each in used), Decimal(0))

    with Sandbox() as box:
        budget = {"limit_usd": float(limit), "state": str(state)}
        config = {
            "llm": {"base_url": box.url},
            "server": {"port": 0},
            "interceptors": [{"type": "budget", "config": budget}],
        }
        for most in (40, 80, 120, 160):
            found: list[int] = []
            with (
                killable(zygote, config, tmp_path) as (process, url),
                ThreadPoolExecutor(32) as pool,
            ):
                for number in range(32):
                    pool.submit(ask_until_it_is_gone, url, f"{most} {number}", found)
                while len(found) < most:
                    time.sleep(0.001)
                process.kill()
            ledger = SpendFile(state)
            assert billed(box) <= from_parts(ledger.read(*TOTAL).most) <= limit
            ledger.close()


def ask_until_it_is_gone(url: str, content: str, found: list[int]) -> None:
    body = {
        "model": "gpt-6-luna",
        "max_completion_tokens": 300,
        "messages": [{"role": "user", "content": content}],
    }
    key = (b"Authorization", b"Bearer k")
    request = request_bytes(
        b"/v1/chat/completions", JSON, key, method=b"POST", body=orjson.dumps(body)
    )
    while True:
        try:
            found.append(call(url, request).status)
        except (OSError, IndexError):
            return
