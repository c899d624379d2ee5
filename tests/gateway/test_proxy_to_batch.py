"""Live calls that wait for the vendor's batches: at half the price, and never paid twice."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from budget_lab import BOOK, CLAUDE, GPT, used_usd
from held_lab import SLOW, asked, chat, holding, leave, price, sdk, until
from raw_lab import call, connect, read_reply
from sandbox_lab import Lab

from batchata.core.errors import StateLockedError, ValidationError
from batchata.core.usage import Usage
from batchata.gateway import Gateway, HttpFault, ItemFault
from batchata.gateway.held import asking, held_calls


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "POLL_FACTOR", 0.01)


def test_calls_made_together_are_one_batch_at_half_the_price(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_calls, "_MOST_CALLS", 4)  # is full when all are there

    with (
        holding(lab.box.url, tmp_path, gather_seconds=SLOW) as gateway,
        ThreadPoolExecutor(4) as pool,
    ):
        answers = list(pool.map(lambda n: chat(gateway.url, f"question {n}"), range(4)))

    assert len({each.choices[0].message.content for each in answers}) == 4
    assert [len(each.custom_ids) for each in lab.box.ledger.batches] == [4]
    assert lab.box.ledger.live == []
    assert used_usd(tmp_path / "budget.db") == sum(price(each.usage, "batch") for each in answers)
    assert [each for each in (tmp_path / "held").iterdir() if each.is_dir()] == []


def test_every_api_and_its_streams_say_the_same(lab: Lab, tmp_path: Path) -> None:
    with holding(lab.box.url, tmp_path) as gateway, sdk(gateway.url) as client:
        said = chat(gateway.url).choices[0].message.content
        chunks = chat(gateway.url, stream=True, stream_options={"include_usage": True})
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
    with holding(lab.box.url, tmp_path, window="2s", gather_seconds=0.05) as gateway:
        answer = chat(gateway.url)

    assert [each.status for each in lab.box.ledger.batches] == ["cancelled"]
    assert lab.box.ledger.billed_items == 0
    assert len(lab.box.ledger.live) == 1
    assert used_usd(tmp_path / "budget.db") == price(answer.usage, "standard")


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


def test_a_held_stream_is_recorded_as_the_stream_it_was(lab: Lab, tmp_path: Path) -> None:
    section = {"window": "1h", "directory": str(tmp_path / "held"), "gather_seconds": 0.05}
    kept = {"directory": str(tmp_path / "cassettes")}
    tape = [{"type": "record", "config": kept}]
    with Gateway(lab.box.url, config={"to_batch": section, "interceptors": tape}) as gateway:
        said = chat(gateway.url, stream=True)
    tape = [{"type": "replay", "config": kept}]
    with Gateway("http://127.0.0.1:9", config={"interceptors": tape}) as gateway:
        again = chat(gateway.url, stream=True)

    assert again == said != []


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
