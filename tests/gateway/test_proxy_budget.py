"""A hard limit on money, in front of any application."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from budget_lab import BOOK, CLAUDE, GPT, limited, used_usd
from raw_lab import JSON, SECONDS, RawUpstream, Seen, call, connect, request_bytes

from batchata import Batch
from batchata.core.errors import StateLockedError
from batchata.core.usage import Usage, from_parts
from batchata.gateway import Exchange, Gateway, Interceptor, Replace, Sandbox
from batchata.stores.spending import TOTAL, SpendFile
from batchata.stores.sqlite import SQLiteStore

ASK = (
    b'{"model":"gpt-6-luna","max_completion_tokens":1000,'
    b'"messages":[{"role":"user","content":"hi"}]}'
)


def chat(url: str, content: str = "hi", **params: Any) -> Any:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": content}]
        answer = client.chat.completions.create(
            model=GPT, messages=messages, **{"max_completion_tokens": 100, **params}
        )
        return list(answer) if params.get("stream") else answer  # before the client closes it


def cost_of(used: Any) -> Decimal:
    usage = Usage(used.prompt_tokens, used.completion_tokens)
    return BOOK.card("openai", GPT, "standard").cost_usd(usage)


def test_what_was_spent_survives_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with Sandbox() as box:
        with limited(box.url, state, 1) as gateway:
            first = cost_of(chat(gateway.url).usage)
        with limited(box.url, state, 1) as gateway:
            second = cost_of(chat(gateway.url, "more").usage)

    assert used_usd(state) == first + second


def test_a_call_over_the_limit_is_refused_in_the_vendors_shape(tmp_path: Path) -> None:
    with Sandbox() as box, limited(box.url, tmp_path / "s.db", 0.00001) as gateway:
        with pytest.raises(openai.RateLimitError) as gpt:
            chat(gateway.url)
        with (
            anthropic.Anthropic(base_url=gateway.url, api_key="k") as client,
            pytest.raises(anthropic.APIStatusError) as claude,
        ):
            client.messages.create(
                model=CLAUDE, max_tokens=100, messages=[{"role": "user", "content": "hi"}]
            )
        assert box.ledger.live == []

    assert gpt.value.code == "insufficient_quota"
    assert "of the limit of $0.00001" in gpt.value.message
    assert claude.value.status_code == 402
    assert "budget refuses" in claude.value.message


def test_many_at_once_never_pass_the_limit(tmp_path: Path) -> None:
    limit = Decimal("0.002")
    with Sandbox() as box, limited(box.url, tmp_path / "s.db", float(limit)) as gateway:

        def ask(number: int) -> int:
            body = ASK.replace(b"hi", b"question %d" % number)
            request = request_bytes(b"/v1/chat/completions", JSON, KEYED, method=b"POST", body=body)
            return call(gateway.url, request).status

        with ThreadPoolExecutor(64) as pool:
            found = list(pool.map(ask, range(300)))
        billed = sum(
            (
                BOOK.card("openai", GPT, "standard").cost_usd(
                    Usage(item.input_tokens, item.output_tokens)
                )
                for item in box.ledger.live
            ),
            Decimal(0),
        )

        page = call(gateway.url, request_bytes(b"/metrics")).body.decode()

    numbers = dict(line.split() for line in page.splitlines() if "_budget_" in line[:30])
    assert Decimal(numbers["batchata_gateway_budget_spent_usd"]) == billed
    assert float(numbers["batchata_gateway_budget_reserved_usd"]) == 0
    assert set(found) == {200, 429}
    assert 0 < billed <= limit
    assert used_usd(tmp_path / "s.db") == billed


class Longer(Interceptor):
    """Asks for a longer answer than its client did."""

    name = "longer"

    async def on_request(self, exchange: Exchange) -> Replace:
        return Replace(body=(exchange.body or b"").replace(b"1000", b"100000"))


def test_the_budget_looks_at_what_really_leaves(tmp_path: Path) -> None:
    budget = {"type": "budget", "config": {"limit_usd": 0.01, "state": str(tmp_path / "s.db")}}
    longer = {"type": f"{__name__}:Longer"}
    request = request_bytes(b"/v1/chat/completions", JSON, KEYED, method=b"POST", body=ASK)
    with Sandbox() as box:
        with Gateway(box.url, config={"interceptors": [budget]}) as gateway:
            assert call(gateway.url, request).status == 200
        with Gateway(box.url, config={"interceptors": [budget, longer]}) as gateway:
            assert call(gateway.url, request).status == 429


@pytest.mark.parametrize(("status", "is_kept"), [(500, False), (429, False), (504, True)])
def test_an_error_on_the_way_may_have_cost_something(
    status: int, is_kept: bool, tmp_path: Path
) -> None:
    request = request_bytes(b"/v1/chat/completions", JSON, method=b"POST", body=ASK)
    with RawUpstream() as upstream, limited(upstream.url, tmp_path / "s.db", 1) as gateway:
        upstream.answer(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
        assert call(gateway.url, request).status == status

    assert (used_usd(tmp_path / "s.db") > 0) is is_kept


def test_a_stream_tells_its_usage_where_that_is_asked_for(tmp_path: Path) -> None:
    with Sandbox() as box:
        for ask_usage in (False, True):
            state = tmp_path / f"{ask_usage}.db"
            with limited(box.url, state, 1, ask_usage=ask_usage) as gateway:
                assert chat(gateway.url, stream=True)
    assert used_usd(tmp_path / "True.db") < used_usd(tmp_path / "False.db") / 2


KEYED = (b"Authorization", b"Bearer k")


def test_a_client_that_leaves_keeps_its_worst_case_booked(tmp_path: Path) -> None:
    reached = threading.Event()

    def script(connection: socket.socket, seen: Seen) -> None:
        reached.set()
        upstream.hold(connection)

    request = request_bytes(b"/v1/chat/completions", JSON, method=b"POST", body=ASK)
    with (
        RawUpstream(script) as upstream,
        limited(upstream.url, tmp_path / "s.db", 1) as gateway,
        connect(gateway.url) as client,
    ):
        client.sendall(request)
        assert reached.wait(SECONDS)
        client.close()
        assert upstream.freed.wait(SECONDS)

    output = BOOK.card("openai", GPT, "standard").rates.output_usd
    assert used_usd(tmp_path / "s.db") > output * 1000 / 1_000_000


@pytest.mark.parametrize(
    ("target", "body", "said"),
    [
        (b"/v1/chat/completions", ASK.replace(b"gpt-6-luna", b"nobody-1"), b"no price is known"),
        (b"/v1/images/generations", b'{"model":"x"}', b"free_paths"),
        (b"/v1/batches", b"{}", b"free_paths"),
        (b"/chat/completions", ASK.replace(b"gpt-6-luna", b"nobody-1"), b"no price is known"),
        (b"/v1/chat/completions", b"[]", b"is not a JSON object"),
        (b"/v1/chat/completions", ASK.replace(b"1000", b"-5"), b"max_tokens is -5"),
    ],
)
def test_what_has_no_price_is_not_sent(
    tmp_path: Path, target: bytes, body: bytes, said: bytes
) -> None:
    with RawUpstream() as upstream, limited(upstream.url, tmp_path / "s.db", 1) as gateway:
        reply = call(gateway.url, request_bytes(target, JSON, method=b"POST", body=body))

    assert said in reply.body
    assert upstream.seen == []


def test_refused_and_free_calls_cost_nothing(tmp_path: Path) -> None:
    with RawUpstream() as upstream:
        upstream.answer(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
        with limited(upstream.url, tmp_path / "s.db", 1) as gateway:
            call(
                gateway.url, request_bytes(b"/v1/chat/completions", JSON, method=b"POST", body=ASK)
            )
            call(gateway.url, request_bytes(b"/v1/files/f"))

    assert len(upstream.seen) == 2
    assert used_usd(tmp_path / "s.db") == 0


def test_each_session_has_a_limit_of_its_own(tmp_path: Path) -> None:
    def asked(name: bytes) -> int:
        named = (b"x-batchata-session-id", name)
        request = request_bytes(
            b"/v1/chat/completions", JSON, KEYED, named, method=b"POST", body=ASK
        )
        return call(gateway.url, request).status

    worst = from_parts(BOOK.card("openai", GPT, "standard").worst_case(200, 1000))
    with (
        Sandbox() as box,
        limited(box.url, tmp_path / "s.db", float(worst), per="session") as gateway,
    ):
        found = [asked(name) for name in [b"one"] * 60 + [b"two"]]

    assert found[0] == 200
    assert 429 in found
    assert found[-1] == 200


def test_a_killed_gateway_counts_what_was_in_flight_as_spent(tmp_path: Path) -> None:
    state = tmp_path / "s.db"
    with Sandbox() as box, limited(box.url, state, 1) as gateway:
        spent = cost_of(chat(gateway.url).usage)
    ledger = SpendFile(state)
    line = ledger.read(*TOTAL)
    ledger.write([line._replace(allowed=line.spent + 5_000_000_000)])  # as a kill leaves it
    ledger.close()

    assert used_usd(state) == spent + Decimal("0.005")


def test_a_second_gateway_on_the_same_state_file_says_so_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "s.db"
    first, second = (limited("http://127.0.0.1:1", state, 1) for _ in range(2))
    with first, pytest.raises(StateLockedError, match="in use by process"):
        second.__enter__()

    assert caplog.text == ""


def test_runs_of_the_same_state_file_see_what_the_gateway_spent(tmp_path: Path) -> None:
    state = tmp_path / "s.db"
    with Sandbox() as box, limited(box.url, state, 1) as gateway:
        spent = cost_of(chat(gateway.url).usage)
        with pytest.raises(StateLockedError):
            SQLiteStore(state)

    store = SQLiteStore(state)
    assert store.load().cost.used_usd == spent
    store.close()


def test_a_refusal_tells_what_runs_of_the_state_file_have_spent(tmp_path: Path) -> None:
    state = tmp_path / "s.db"
    with Sandbox() as box:
        batch = Batch(tmp_path / "out").set_state(state).set_route("live")
        batch.set_provider("openai", api_key="k", base_url=box.openai_base_url)
        run = batch.add_job(id="a", prompt="Name a river.", model=GPT, max_tokens=100).run()
        spent = run.status()["cost_usd"]
        with (
            limited(box.url, state, 0.000001) as gateway,
            pytest.raises(openai.RateLimitError) as refused,
        ):
            chat(gateway.url)

    told = f"of the limit of $0.000001 for the gateway ${spent:.6f} is spent by runs of its state"
    assert spent > 0
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (b"/v1/v1/messages", b"leave /v1 out of the client's base URL"),
        (b"/v1/images/generations", b"name it among free_paths"),
    ],
)
def test_a_path_that_nobody_knows_is_refused_with_what_to_write(
    tmp_path: Path, target: bytes, said: bytes
) -> None:
    with RawUpstream() as upstream, limited(upstream.url, tmp_path / "s.db", 5) as gateway:
        refused = call(gateway.url, request_bytes(target, JSON, method=b"POST", body=ASK))

    assert refused.status == 429
    assert said in refused.body
    assert not upstream.seen
