"""Calls at half the price, and at the full one where the half-price tier has no room."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from budget_lab import BOOK, CLAUDE, GPT, used_usd
from raw_lab import Reply, call, request_bytes
from sandbox_lab import Lab
from typer.testing import CliRunner

from batchata.cli.app import app
from batchata.core.usage import Usage, from_parts
from batchata.gateway import Gateway, HttpFault, Scenario
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder
from batchata.gateway.proxy.money.flex import flex_refusal

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
VERSION = (b"anthropic-version", b"2023-06-01")
HEADERS = ((b"Content-Type", b"application/json"), (b"Authorization", b"Bearer k"))
CLAUDES = ((b"Content-Type", b"application/json"), (b"x-api-key", b"k"), VERSION)
ON_FLEX = '"service_tier":"flex"'
NO_ROOM = HttpFault(
    action="status",
    status=429,
    code="resource_unavailable",
    message="Resource Unavailable",
    contains=ON_FLEX,
    times=None,
)
#: numbers and blanks that no second writing would keep
ASK = (
    b' {"model": "gpt-6-luna", "temperature": 1E0, "messages": [{"role": "user", "content": "hi"}]}'
)


def flexible(url: str, state: Path, recorder: TestRecorder) -> Gateway:
    budget = {"limit_usd": 5, "state": str(state), "ask_usage": True}
    kinds = [{"type": "budget", "config": budget}, {"type": "flex"}]
    return Gateway(url, interceptors=[recorder], config={"interceptors": kinds})


def ask(gateway: Gateway, body: bytes, path: str = CHAT) -> Reply:
    headers = CLAUDES if path == MESSAGES else HEADERS
    return call(gateway.url, request_bytes(path.encode(), *headers, method=b"POST", body=body))


def chat(gateway: Gateway) -> Any:
    with openai.OpenAI(base_url=gateway.openai_base_url, api_key="k", max_retries=0) as client:
        answer = client.chat.completions.create(
            model=GPT, messages=[{"role": "user", "content": "hi"}], max_completion_tokens=50
        )
        return answer, Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens)  # type: ignore[union-attr]


def chat_stream(gateway: Gateway) -> Any:
    with openai.OpenAI(base_url=gateway.openai_base_url, api_key="k", max_retries=0) as client:
        *_, last = client.chat.completions.create(
            model=GPT,
            messages=[{"role": "user", "content": "hi"}],
            max_completion_tokens=50,
            stream=True,
        )
        assert last.usage is not None
        return last, Usage(last.usage.prompt_tokens, last.usage.completion_tokens)


def respond(gateway: Gateway) -> Any:
    with openai.OpenAI(base_url=gateway.openai_base_url, api_key="k", max_retries=0) as client:
        answer = client.responses.create(model=GPT, input="hi", max_output_tokens=50)
        assert answer.usage is not None
        return answer, Usage(answer.usage.input_tokens, answer.usage.output_tokens)


@pytest.mark.parametrize("has_room", [True, False])
@pytest.mark.parametrize("asking", [chat, chat_stream, respond])
def test_a_call_costs_what_the_tier_costs_that_answered_it(
    lab: Lab, tmp_path: Path, asking: Any, has_room: bool
) -> None:
    lab.box.set_scenario(Scenario(http=() if has_room else (NO_ROOM,)))
    recorder = TestRecorder()
    with flexible(lab.box.url, tmp_path / "s.db", recorder) as gateway:
        answer, usage = asking(gateway)

    tier = "flex" if has_room else "default"
    assert answer.service_tier == tier
    assert len(lab.box.ledger.live) == 1
    cost = BOOK.card("openai", GPT, tier).cost_usd(usage)
    assert recorder.exchanges[0].answer is not None
    assert recorder.exchanges[0].answer.cost_usd == cost
    assert used_usd(tmp_path / "s.db") == cost


def test_half_the_price_is_half_the_price() -> None:
    usage = Usage(1000, 1000)
    full, half = (BOOK.card("openai", GPT, tier).cost_usd(usage) for tier in ("default", "flex"))

    assert 2 * half == full > Decimal(0)


def test_the_standard_tier_is_asked_as_the_client_wrote_it(lab: Lab, tmp_path: Path) -> None:
    lab.box.set_scenario(Scenario(http=(NO_ROOM,)))
    recorder = TestRecorder()
    with flexible(lab.box.url, tmp_path / "s.db", recorder) as gateway:
        assert ask(gateway, ASK).status == 200

    assert recorder.exchanges[0].body == ASK.strip()


def test_a_limit_holds_for_the_dearer_tier(lab: Lab, tmp_path: Path) -> None:
    worst = from_parts(BOOK.card("openai", GPT, "default").worst_case(30, 50))
    budget = {"limit_usd": float(worst * 2 / 3), "state": str(tmp_path / "s.db")}
    kinds = [{"type": "flex"}, {"type": "budget", "config": budget}]
    with (
        Gateway(lab.box.url, config={"interceptors": kinds}) as gateway,
        pytest.raises(openai.RateLimitError, match="budget refuses"),
    ):
        chat(gateway)

    assert lab.box.ledger.live == []


@pytest.mark.parametrize(
    "fault",
    [
        HttpFault(action="status", status=429, code="rate_limit_exceeded", retry_after_seconds=7),
        HttpFault(action="status", status=429, code="insufficient_quota"),
        HttpFault(action="status", status=400, message="no such parameter"),
        HttpFault(action="status", status=503, message="Resource Unavailable"),
    ],
)
def test_other_refusals_reach_the_client_as_they_are(
    lab: Lab, tmp_path: Path, fault: HttpFault
) -> None:
    lab.box.set_scenario(Scenario(http=(fault,)))
    direct = call(lab.box.url, request_bytes(CHAT.encode(), *HEADERS, method=b"POST", body=ASK))
    lab.box.set_scenario(Scenario(http=(fault,)))
    with flexible(lab.box.url, tmp_path / "s.db", TestRecorder()) as gateway:
        through = ask(gateway, ASK)

    assert (through.status, through.body) == (direct.status, direct.body)
    assert through.all(b"retry-after") == direct.all(b"retry-after")
    assert lab.box.ledger.live == []
    assert used_usd(tmp_path / "s.db") == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"model": GPT, "service_tier": "default"}),
        (CHAT, {"model": GPT, "service_tier": None}),
        (CHAT, {"model": "gpt-4.1"}),
        (CHAT, {"model": "sandbox-model"}),
        (MESSAGES, {"model": CLAUDE, "max_tokens": 9}),
    ],
)
def test_what_names_a_tier_or_has_no_half_price_stays_as_it_is(
    lab: Lab, path: str, body: dict[str, Any]
) -> None:
    recorder = TestRecorder()
    written = orjson.dumps({**body, "messages": [{"role": "user", "content": "hi"}]})
    with Gateway(lab.box.url, interceptors=[recorder, "flex"]) as gateway:
        assert ask(gateway, written, path).status == 200

    assert recorder.exchanges[0].body == written


@pytest.mark.parametrize(
    ("status", "error", "is_one"),
    [
        (429, {"message": "Resource Unavailable"}, True),
        (429, {"message": "", "code": "resource_unavailable"}, True),
        (429, {"message": "Rate limit reached", "code": "rate_limit_exceeded"}, False),
        (400, {"message": "Unsupported service_tier: flex"}, True),
        (400, {"message": "not for you", "param": "service_tier"}, True),
        (400, {"message": "Resource unavailable"}, False),
        (429, "Resource Unavailable", False),
        (429, None, False),
    ],
)
def test_only_what_the_standard_tier_may_take_is_asked_again(
    status: int, error: object, is_one: bool
) -> None:
    assert bool(flex_refusal(status, orjson.dumps({"error": error}))) is is_one
    assert not flex_refusal(status, b"<html>Resource Unavailable</html>")


def test_the_flag_is_refused_where_no_upstream_has_the_tier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: list[Any] = []
    monkeypatch.setattr("batchata.cli.proxy._serve", lambda config, **_: served.append(config))
    url = ("proxy", "run", "--flex", "--base-url", "http://127.0.0.1:1")

    CliRunner().invoke(app, [*url, "--limit-usd", "1"], catch_exceptions=False)
    refused = CliRunner().invoke(app, [*url, "--type", "anthropic"], catch_exceptions=False)

    assert refused.exit_code == 1
    assert "no upstream is OpenAI's" in refused.output
    assert [[each.type for each in config.interceptors] for config in served] == [
        ["flex", "budget"]
    ]
