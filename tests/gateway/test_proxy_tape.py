"""Exchanges that are recorded and given again, and calls that are told to belong together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from raw_lab import JSON, call, request_bytes

from batchata import Batch
from batchata.gateway import (
    Continue,
    Exchange,
    Gateway,
    Interceptor,
    Reject,
    Replace,
    Respond,
    Sandbox,
)
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder

GPT = "gpt-6-luna"
KEY = (b"Authorization", b"Bearer k")
GONE = "http://127.0.0.1:1"


def with_tape(url: str, kind: str, folder: Path, **options: object) -> Gateway:
    tape = {"type": kind, "config": {"directory": str(folder), **options}}
    return Gateway(url, config={"interceptors": [tape]})


def asked(gateway: Gateway, content: str, *, stream: bool = False) -> bytes:
    body = {"model": GPT, "messages": [{"role": "user", "content": content}], "stream": stream}
    request = request_bytes(
        b"/v1/chat/completions", JSON, KEY, method=b"POST", body=orjson.dumps(body)
    )
    reply = call(gateway.url, request)
    return b"%d " % reply.status + reply.body


def test_what_many_asked_at_once_is_given_to_each_again(tmp_path: Path) -> None:
    questions = [(f"question {number % 30}", number % 2 == 0) for number in range(120)]
    with (
        Sandbox() as box,
        with_tape(box.url, "record", tmp_path) as gateway,
        ThreadPoolExecutor(32) as pool,
    ):
        first = list(pool.map(lambda each: asked(gateway, each[0], stream=each[1]), questions))
    with with_tape(GONE, "replay", tmp_path) as gateway, ThreadPoolExecutor(32) as pool:
        again = list(pool.map(lambda each: asked(gateway, each[0], stream=each[1]), questions))
        once_more = asked(gateway, questions[0][0], stream=questions[0][1])

    # the vendor gives every answer an id of its own, so that equal questions have several
    assert sorted(again) == sorted(first)
    assert all(each.startswith(b"200 ") for each in again)
    assert once_more.startswith(b"404 ")
    assert b"asked once more" in once_more


@pytest.mark.parametrize(
    ("route", "model"), [("batch", GPT), ("live", GPT), ("batch", "claude-haiku-5-5")]
)
def test_what_a_run_asked_is_answered_from_its_folder(
    route: Any, model: str, tmp_path: Path
) -> None:
    questions = {"a": "Name a river.", "b": "Name a lake, not sk-planted-0123456789abcdef."}
    with Sandbox() as box:
        batch = Batch(tmp_path / "out").set_polling(0.01).set_route(route)
        batch.set_provider("openai", api_key="k", base_url=box.openai_base_url)
        batch.set_provider("anthropic", api_key="k", base_url=box.anthropic_base_url)
        batch.set_default_params(model=model, max_tokens=50)
        for name, question in questions.items():
            batch.add_job(id=name, prompt=question)
        results = batch.run().results()

    is_gpt = model == GPT
    target = b"/v1/chat/completions" if is_gpt else b"/v1/messages"
    with with_tape(GONE, "replay", tmp_path / "out") as gateway:
        for name, question in questions.items():
            body = {
                "messages": [{"content": question, "role": "user"}],
                "model": model,
                "max_completion_tokens" if is_gpt else "max_tokens": 50,
            }
            request = request_bytes(target, JSON, method=b"POST", body=orjson.dumps(body))
            reply = call(gateway.url, request)
            assert reply.status == 200, reply.body
            assert str(results[name].response).encode() in reply.body


def test_a_miss_goes_to_the_upstream_only_where_that_is_wished(tmp_path: Path) -> None:
    with Sandbox() as box:
        with with_tape(box.url, "record", tmp_path) as gateway:
            asked(gateway, "known")
        with with_tape(box.url, "replay", tmp_path) as gateway:
            strict = asked(gateway, "unknown")
        with with_tape(box.url, "replay", tmp_path, miss="fallthrough") as gateway:
            loose = asked(gateway, "unknown")

    assert (strict[:3], loose[:3]) == (b"404", b"200")


def test_only_calls_that_go_on_from_one_another_are_one_session() -> None:
    recorder = TestRecorder()
    opening = "p" * 111
    with (
        Sandbox() as box,
        Gateway(box.url, interceptors=[recorder]) as gateway,
        openai.OpenAI(base_url=gateway.openai_base_url, api_key="k") as client,
    ):
        histories = []
        for number in range(3):
            history = [{"role": "user", "content": f"{opening} {number}"}]
            told = client.chat.completions.create(model=GPT, messages=history)  # type: ignore[arg-type]
            histories.append(
                [*history, {"role": "assistant", "content": told.choices[0].message.content}]
            )
        for number in (2, 1, 0):
            turns = [*histories[number], {"role": "user", "content": "and then?"}]
            client.chat.completions.create(model=GPT, messages=turns)  # type: ignore[arg-type]
        gateway.drain()

    ids = [each.session_id for each in recorder.exchanges]
    assert len(set(ids)) == 3
    assert ids[3:] == ids[2::-1]
    assert [each.name for each in recorder.events].count("session.end") == 3


class Deciding(Interceptor):
    """Does what the question says."""

    name = "deciding"
    is_policy = True

    async def on_request(self, exchange: Exchange) -> Continue | Replace | Respond | Reject:
        content = (exchange.json or {})["messages"][0]["content"]
        if content == "answer":
            return Respond(body=b'{"mine":1}')
        if content == "refuse":
            return Reject(message="not this", status=403)
        if content == "raise":
            raise RuntimeError("a fault")
        return Replace(body=(exchange.body or b"").replace(b"replace", b"replaced"))


class Looking(Deciding):
    """The same as an observer."""

    name = "looking"
    is_policy = False


def test_an_interceptor_answers_refuses_and_changes_requests() -> None:
    recorder = TestRecorder()
    with Sandbox() as box, Gateway(box.url, interceptors=[Deciding(), recorder]) as gateway:
        answered = asked(gateway, "answer")
        refused = asked(gateway, "refuse")
        asked(gateway, "replace")

    assert answered == b'200 {"mine":1}'
    assert refused.startswith(b"403 ")
    assert b"not this" in refused
    bodies = [each.body for each in recorder.exchanges]
    assert bodies[-1] is not None
    assert b"replaced" in bodies[-1]


def test_a_fault_after_the_answer_does_not_take_it_from_the_client(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("batchata.gateway.proxy.telemetry.emitter.EventEmitter.ended", fail)
    with Sandbox() as box, Gateway(box.url) as gateway:
        found = [asked(gateway, "hi", stream=stream)[:3] for stream in (False, True)]

    assert found == [b"200", b"200"]
    assert caplog.text.count("RuntimeError: a fault of ours") == 2


@pytest.mark.parametrize(("kind", "status"), [(Deciding, b"500"), (Looking, b"200")])
def test_a_policy_that_raises_refuses_and_an_observer_does_not(
    kind: type[Interceptor], status: bytes
) -> None:
    with Sandbox() as box, Gateway(box.url, interceptors=[kind()]) as gateway:
        assert asked(gateway, "raise")[:3] == status
