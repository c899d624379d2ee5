"""Live calls that wait for the vendor's batches: at half the price, and never paid twice."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import orjson
import pytest
from openai.types import CompletionUsage
from raw_lab import call, connect, read_reply, request_bytes
from sandbox_lab import Lab
from test_proxy_budget import BOOK, CLAUDE, GPT, JSON, used_usd
from test_proxy_process import start

from batchata.core.errors import StateLockedError, ValidationError
from batchata.core.usage import Usage
from batchata.gateway import Gateway, HttpFault, ItemFault, Sandbox, Scenario
from batchata.gateway.held import asking
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder

SLOW = 3_600.0  #: longer than any test: the clock of the sandbox is moved instead
KEY = (b"Authorization", b"Bearer k")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "POLL_FACTOR", 0.01)


def holding(url: str, folder: Path, **changes: Any) -> Gateway:
    section = {"window": "1h", "directory": str(folder / "held"), "gather_seconds": 0.05}
    budget = {"limit_usd": changes.pop("limit_usd", 5), "state": str(folder / "budget.db")}
    kind, watching = changes.pop("type", "openai"), changes.pop("interceptors", ())
    config = {
        "to_batch": {**section, **changes},
        "interceptors": [{"type": "budget", "config": budget}],
    }
    return Gateway(url, type=kind, config=config, interceptors=watching)


def sdk(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="k", **{"max_retries": 0, **options})


def chat(url: str, content: str = "hi", **params: Any) -> Any:
    with sdk(url) as client:
        return client.chat.completions.create(
            model=GPT,
            messages=[{"role": "user", "content": content}],
            **{"max_completion_tokens": 100, **params},
        )


def asked(content: str = "hi", **params: Any) -> bytes:
    body = {"model": GPT, "messages": [{"role": "user", "content": content}], **params}
    text = orjson.dumps({"max_completion_tokens": 100, **body})
    return request_bytes(b"/v1/chat/completions", JSON, KEY, method=b"POST", body=text)


def price(usage: Any, tier: str) -> Decimal:
    return BOOK.card("openai", GPT, tier).cost_usd(
        Usage(usage.prompt_tokens, usage.completion_tokens)
    )


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def leave(gateway: Gateway, lab: Lab, request: bytes) -> None:
    """Ask, and go away once the vendor has it."""
    with connect(gateway.url) as connection:
        before = len(lab.box.ledger.batches)
        connection.sendall(request)
        until(lambda: len(lab.box.ledger.batches) > before)


def test_calls_made_together_are_one_batch_at_half_the_price(lab: Lab, tmp_path: Path) -> None:
    with holding(lab.box.url, tmp_path) as gateway, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: chat(gateway.url, f"question {n}"), range(4)))

    assert len({each.choices[0].message.content for each in answers}) == 4
    assert [len(each.custom_ids) for each in lab.box.ledger.batches] == [4]
    assert lab.box.ledger.live == []
    assert used_usd(tmp_path / "budget.db") == sum(price(each.usage, "batch") for each in answers)
    assert [each for each in (tmp_path / "held").iterdir() if each.is_dir()] == []


def test_every_api_and_its_streams_say_the_same(lab: Lab, tmp_path: Path) -> None:
    with holding(lab.box.url, tmp_path) as gateway, sdk(gateway.url) as client:
        said = chat(gateway.url).choices[0].message.content
        chunks = list(chat(gateway.url, stream=True, stream_options={"include_usage": True}))
        answer = client.responses.create(model=GPT, input="hi", max_output_tokens=50)
        with client.responses.stream(model=GPT, input="hi", max_output_tokens=50) as stream:
            streamed = stream.until_done().get_final_response()

    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == said
    assert chunks[-1].usage is not None
    assert streamed.output_text == answer.output_text != ""
    assert lab.box.ledger.live == []
    assert lab.box.ledger.billed_items == 4


def test_messages_wait_too(lab: Lab, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {
        "model": CLAUDE,
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "hi"}],
    }
    with (
        holding(lab.box.url, tmp_path, type="anthropic") as gateway,
        anthropic.Anthropic(base_url=gateway.url, api_key="k", max_retries=0) as client,
    ):
        answer = client.messages.create(**wanted)
        with client.messages.stream(**wanted) as stream:
            streamed = stream.get_final_message()

    assert streamed.content[0].text == answer.content[0].text != ""  # type: ignore[union-attr]
    assert lab.box.ledger.live == []
    usage = Usage(answer.usage.input_tokens, answer.usage.output_tokens)
    cost = BOOK.card("anthropic", CLAUDE, "batch").cost_usd(usage)
    assert used_usd(tmp_path / "budget.db") == 2 * cost


@pytest.mark.parametrize(("params", "beat"), [({}, b"\n"), ({"stream": True}, b": the gateway")])
def test_a_connection_is_kept_open(
    lab: Lab, tmp_path: Path, params: dict[str, Any], beat: bytes
) -> None:
    lab.play(latency_seconds=SLOW)
    with (
        holding(lab.box.url, tmp_path, heartbeat_seconds=0.02) as gateway,
        connect(gateway.url) as connection,
    ):
        connection.sendall(asked(**params))
        began = connection.recv(4096, socket.MSG_PEEK)
        until(lambda: lab.box.ledger.batches)
        lab.clock.now += SLOW
        reply = read_reply(connection.makefile("rb"))

    assert began.startswith(b"HTTP/1.1 200")
    assert reply.is_whole
    assert reply.body.startswith(beat)
    assert b"Scripted" in reply.body


def test_a_client_that_comes_back_is_given_the_answer_it_has_paid_for(
    lab: Lab, tmp_path: Path
) -> None:
    lab.play(latency_seconds=SLOW)
    with holding(lab.box.url, tmp_path, limit_usd=0.0001) as gateway:
        leave(gateway, lab, asked(max_completion_tokens=100))
        lab.clock.now += SLOW
        reply = call(gateway.url, asked(max_completion_tokens=100))
        refused = call(gateway.url, asked("another", max_completion_tokens=500_000))

    assert reply.status == 200
    assert refused.status == 429
    assert lab.box.ledger.billed_items == 1


def test_an_answer_is_kept_for_a_client_that_may_have_left(lab: Lab, tmp_path: Path) -> None:
    lab.play(latency_seconds=SLOW)
    with holding(lab.box.url, tmp_path) as gateway:
        with connect(gateway.url) as connection:
            connection.sendall(asked())
            connection.shutdown(socket.SHUT_WR)
            until(lambda: lab.box.ledger.batches)
            lab.clock.now += SLOW
            first = read_reply(connection.makefile("rb"))
        second = call(gateway.url, asked())

    assert (first.status, second.status) == (200, 200)
    assert first.body.strip() == second.body.strip()
    assert lab.box.ledger.billed_items == 1


def test_the_same_call_twice_at_once_is_two_calls(lab: Lab, tmp_path: Path) -> None:
    with holding(lab.box.url, tmp_path) as gateway, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: chat(gateway.url), range(2)))
        chat(gateway.url)

    assert len(answers) == 2
    assert lab.box.ledger.billed_items == 3


def test_what_is_not_back_in_time_is_cancelled_and_asked_live(lab: Lab, tmp_path: Path) -> None:
    lab.play(latency_seconds=SLOW)
    with holding(lab.box.url, tmp_path, window="1s", gather_seconds=0.1) as gateway:
        answer = chat(gateway.url)

    assert [each.status for each in lab.box.ledger.batches] == ["cancelled"]
    assert lab.box.ledger.billed_items == 0
    assert len(lab.box.ledger.live) == 1
    assert used_usd(tmp_path / "budget.db") == price(answer.usage, "standard")


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


def test_a_call_that_no_vendor_has_heard_of_costs_nothing(lab: Lab, tmp_path: Path) -> None:
    with holding(lab.box.url, tmp_path, gather_seconds=60) as gateway:
        connection = connect(gateway.url)
        connection.sendall(asked())
        until(lambda: b"held_gathering 1" in call(gateway.url, request_bytes(b"/metrics")).body)
    with connection:
        told = read_reply(connection.makefile("rb"))

    assert told.status == 503
    assert used_usd(tmp_path / "budget.db") == 0
    assert lab.box.ledger.batches == []


def test_a_killed_gateway_pays_once_and_loses_nothing(tmp_path: Path) -> None:
    with Sandbox(Scenario(latency_seconds=0.7)) as box:
        section = {"directory": str(tmp_path / "held"), "gather_seconds": 0.05}
        config = {"llm": {"base_url": box.url}, "server": {"port": 0}, "to_batch": section}
        process, url = start(config, tmp_path, "--to-batch", "1h")
        with connect(url) as connection:
            connection.sendall(asked())
            until(lambda: box.ledger.batches)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        (kept,) = (tmp_path / "held").glob("*/group.json")
        begun = orjson.loads(kept.read_bytes())["calls"][0]["asked"]["exchange_id"]

        with holding(box.url, tmp_path, interceptors=[recorder := TestRecorder()]) as gateway:
            reply = call(gateway.url, asked())
        bill = box.ledger

    assert reply.status == 200
    ends = [each for each in recorder.events if each.name == "llm.call.finish"]
    assert [each.exchange_id for each in ends].count(begun) == 1
    assert (len(bill.batches), bill.billed_items, bill.live) == (1, 1, [])


def test_a_refusal_reaches_the_client_with_its_status(lab: Lab, tmp_path: Path) -> None:
    lab.play(items=(ItemFault(outcome="invalid_request"),))
    with (
        holding(lab.box.url, tmp_path) as gateway,
        sdk(gateway.url) as client,
        pytest.raises(openai.BadRequestError),
    ):
        client.responses.create(model=GPT, input="hi", max_output_tokens=50)

    assert used_usd(tmp_path / "budget.db") == 0


def test_a_refusal_after_signs_of_life_is_told_to_the_next_try(lab: Lab, tmp_path: Path) -> None:
    lab.play(latency_seconds=SLOW, items=(ItemFault(outcome="invalid_request"),))
    with holding(lab.box.url, tmp_path, heartbeat_seconds=0.02) as gateway:
        with connect(gateway.url) as connection:
            connection.sendall(asked())
            connection.recv(4096, socket.MSG_PEEK)
            until(lambda: lab.box.ledger.batches)
            lab.clock.now += SLOW
            first = read_reply(connection.makefile("rb"))
        second = call(gateway.url, asked())

    assert (first.status, first.is_whole) == (200, False)
    assert (second.status, second.is_whole) == (400, True)
    assert len(lab.box.ledger.batches) == 1


def test_an_empty_account_is_told_to_everybody_who_waits(lab: Lab, tmp_path: Path) -> None:
    empty = HttpFault(
        action="status",
        route="openai.files.create",
        times=None,
        status=429,
        code="insufficient_quota",
        message="You exceeded your current quota",
    )
    lab.play(http=(empty,))
    with holding(lab.box.url, tmp_path) as gateway, ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(lambda n: call(gateway.url, asked(f"{n}")), range(2)))

    assert [each.status for each in replies] == [429, 429]
    assert all(b"insufficient_quota" in each.body for each in replies)
    assert used_usd(tmp_path / "budget.db") == 0


def test_an_urgent_call_does_not_wait(lab: Lab, tmp_path: Path) -> None:
    lab.play(latency_seconds=SLOW)
    with holding(lab.box.url, tmp_path) as gateway:
        answer = chat(gateway.url, service_tier="default")

    assert lab.box.ledger.batches == []
    assert used_usd(tmp_path / "budget.db") == price(answer.usage, "standard")


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


def test_a_held_stream_is_recorded_as_the_stream_it_was(lab: Lab, tmp_path: Path) -> None:
    section = {"window": "1h", "directory": str(tmp_path / "held"), "gather_seconds": 0.05}
    kept = {"directory": str(tmp_path / "cassettes")}
    tape = [{"type": "record", "config": kept}]
    with Gateway(lab.box.url, config={"to_batch": section, "interceptors": tape}) as gateway:
        said = list(chat(gateway.url, stream=True))
    tape = [{"type": "replay", "config": kept}]
    with Gateway("http://127.0.0.1:9", config={"interceptors": tape}) as gateway:
        again = list(chat(gateway.url, stream=True))

    assert again == said != []


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


def test_a_limit_that_cannot_be_kept_stops_the_gateway(lab: Lab, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with (
        holding(lab.box.url, tmp_path),
        pytest.raises(StateLockedError, match=r"budget\.db"),
        holding(lab.box.url, tmp_path, directory=str(other)),
    ):
        raise AssertionError("the second gateway runs")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"to_batch": {"window": "soon"}}, "write 90s, 30m, 6h or 1d"),
        ({"to_batch": {"window": "6h"}, "interceptors": [{"type": "flex"}]}, "halve the price"),
    ],
)
def test_a_window_that_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Gateway("http://127.0.0.1:9", config=changes)
