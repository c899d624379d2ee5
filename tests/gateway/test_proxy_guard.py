"""Who may use the gateway, and what never leaves it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from raw_lab import JSON, OK, RawUpstream, call, connect, request_bytes

from batchata import read_events
from batchata.gateway import Gateway
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder

#: a secret that only its name gives away
NAMED = "correct-horse-battery"
KEY, TOKEN, CLIENT = (
    "sk-planted-upstream-key-000001",
    "planted-token-0002",
    "sk-planted-client-0003",
)
CHAT = b'{"model":"gpt-6-luna","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream() as made:
        made.answer(OK)
        yield made


def config(upstream: RawUpstream, *interceptors: dict[str, Any], **server: Any) -> dict[str, Any]:
    return {
        "llm": {"base_url": upstream.url, "api_key": KEY},
        "server": {"port": 0, **server},
        "interceptors": list(interceptors),
    }


def ask(gateway: Gateway, *headers: tuple[bytes, bytes], host: bytes = b"localhost") -> int:
    request = request_bytes(b"/v1/chat/completions", *headers, method=b"POST", body=CHAT, host=host)
    return call(gateway.url, request).status


def test_our_key_is_added_where_the_client_has_none(upstream: RawUpstream) -> None:
    with Gateway(config=config(upstream)) as gateway:
        ask(gateway, JSON)
        ask(gateway, JSON, (b"Authorization", b"Bearer own"))

    sent = [each.all(b"authorization") for each in upstream.seen]
    assert sent == [[b"Bearer " + KEY.encode()], [b"Bearer own"]]


@pytest.mark.parametrize("kind", [b"text/plain", b"application/x-www-form-urlencoded", None])
def test_a_web_page_cannot_spend_our_key(upstream: RawUpstream, kind: bytes | None) -> None:
    with Gateway(config=config(upstream)) as gateway:
        headers = [(b"Content-Type", kind)] if kind else []
        status = ask(gateway, *headers, (b"Origin", b"http://evil.example"))

    assert (status, upstream.seen) == (403, [])


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"https://evil.example", 403),
        (b"null", 403),
        (b"http://localhost:3000", 200),
        (b"http://127.0.0.1", 200),
        (b"https://app.internal", 200),
    ],
)
def test_only_pages_of_this_machine_are_given_our_key(
    upstream: RawUpstream, origin: bytes, status: int
) -> None:
    with Gateway(config=config(upstream, allowed_hosts=["app.internal"])) as gateway:
        asked = ask(gateway, JSON, (b"Origin", origin))
        # a vendor that welcomes all origins must not be asked in a page's name
        preflight = request_bytes(b"/v1/chat/completions", (b"Origin", origin), method=b"OPTIONS")
        allowed = call(gateway.url, preflight).status
        own = ask(gateway, JSON, (b"Origin", origin), (b"Authorization", b"Bearer own"))

    assert (asked, allowed, own) == (status, status, 200)


def test_a_rebound_name_is_refused(upstream: RawUpstream) -> None:
    with Gateway(config=config(upstream, allowed_hosts=["gateway.internal"])) as gateway:
        found = [
            ask(gateway, JSON, host=host)
            for host in (
                *(b"evil.example", b"gateway.internal:4000", b"127.0.0.1:1", b"[::1]:4000"),
                *(b"localhost.:4000", b"gateway.internal.", b"localhost.evil", b"localhost.."),
            )
        ]
        health = call(gateway.url, request_bytes(b"/health", host=b"evil.example")).status

    assert found == [421, 200, 200, 200, 200, 200, 421, 421]
    assert health == 421


@pytest.mark.skipif(sys.platform != "linux", reason="others have one loopback address")
def test_another_loopback_address_is_known_by_its_name(upstream: RawUpstream) -> None:
    with Gateway(config=config(upstream, host="127.0.0.2")) as gateway:
        found = [ask(gateway, JSON, host=host) for host in (b"127.0.0.2:1", b"127.0.0.3")]

    assert found == [200, 421]


def test_a_token_is_asked_for_and_goes_no_further(upstream: RawUpstream) -> None:
    with Gateway(config=config(upstream, client_token=TOKEN)) as gateway:
        without = ask(gateway, JSON)
        wrong = ask(gateway, JSON, (b"Authorization", b"Bearer wrong-token"))
        right = ask(gateway, JSON, (b"Authorization", b"Bearer " + TOKEN.encode()))
        small = ask(gateway, JSON, (b"Authorization", b"bearer  " + TOKEN.encode()))

    assert (without, wrong, right, small) == (401, 401, 200, 200)
    for seen in upstream.seen:
        assert seen.all(b"authorization") == [b"Bearer " + KEY.encode()]


def test_planted_secrets_are_in_no_file_and_no_log(
    upstream: RawUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level("DEBUG")
    files = [
        {"type": "printer", "config": {"show_content": True}},
        {"type": "message_logger", "config": {"directory": str(tmp_path / "log")}},
        {"type": "event_recorder", "config": {"directory": str(tmp_path / "events")}},
        {"type": "cache", "config": {"file": str(tmp_path / "cache.db")}},
        {"type": "parquet", "config": {"directory": str(tmp_path / "parquet")}},
        {"type": "record", "config": {"directory": str(tmp_path / "tape")}},
        {"type": "budget", "config": {"limit_usd": 9, "per": "key", "state": f"{tmp_path}/b.db"}},
    ]
    upstream.answer(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: session=%s\r\n"
        b"Content-Length: 2\r\n\r\n{}" % CLIENT.encode()
    )
    with Gateway(config=config(upstream, *files, client_token=TOKEN)) as gateway:
        ask(gateway, JSON, (b"x-batchata-token", TOKEN.encode()), (b"x-api-key", CLIENT.encode()))
        ask(gateway, JSON, (b"x-api-key", TOKEN.encode()), (b"Cookie", CLIENT.encode()))
        body = orjson.dumps(
            {
                "model": "gpt-6-luna",
                "input": f"my key is {CLIENT}",
                "max_output_tokens": 5,
                "tools": [{"type": "mcp", "authorization": NAMED, "server_url": "https://x.y"}],
            }
        )
        token = (b"x-batchata-token", TOKEN.encode())
        request = request_bytes(b"/v1/responses", JSON, token, method=b"POST", body=body)
        assert call(gateway.url, request).status == 200
        target = b"/v1/models?key=" + CLIENT.encode()
        call(gateway.url, request_bytes(target, (b"x-api-key", TOKEN.encode())))
        assert KEY not in repr(gateway._config)
    with Gateway("http://127.0.0.1:1", config={"llm": {"api_key": KEY}}) as gone:
        assert KEY.encode() not in call(gone.url, request_bytes()).body

    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(written) >= 6
    said = b"".join(written.values()) + caplog.text.encode() + "".join(capfd.readouterr()).encode()
    said += read_events(tmp_path / "parquet").to_csv().encode()  # it is packed
    for secret in (KEY, TOKEN, CLIENT, NAMED):
        assert secret.encode() not in said
    ours = [path for path in written if path.suffix != ".parquet"]
    assert {path.stat().st_mode & 0o777 for path in ours} == {0o600}


def test_a_stranger_is_not_asked_for_the_body_that_it_offers(upstream: RawUpstream) -> None:
    offer = request_bytes(
        b"/v1/files", JSON, (b"Expect", b"100-continue"), method=b"POST", body=CHAT
    )
    with (
        Gateway(config=config(upstream, client_token=TOKEN)) as gateway,
        connect(gateway.url) as connection,
    ):
        connection.sendall(offer.removesuffix(CHAT))
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close" in answer


def test_upstreams_are_chosen_by_prefix_and_by_model(upstream: RawUpstream) -> None:
    with RawUpstream() as claude, RawUpstream() as llama:
        claude.answer(OK)
        llama.answer(OK)
        sections = [
            {"base_url": upstream.url, "name": "main"},
            {"base_url": claude.url, "name": "claude", "type": "anthropic", "prefix": "/claude"},
            {"base_url": llama.url, "name": "llama", "models": ["llama-*"]},
        ]
        with Gateway(config={"upstreams": sections, "server": {"port": 0}}) as gateway:
            for target, model in (
                (b"/claude/v1/messages?x=1", b"claude-haiku-5-5"),
                (b"/v1/chat/completions", b"llama-4"),
                (b"/v1/chat/completions", b"gpt-6-luna"),
            ):
                body = CHAT.replace(b"gpt-6-luna", model)
                call(gateway.url, request_bytes(target, JSON, method=b"POST", body=body))

        targets = [each.target for made in (claude, llama, upstream) for each in made.seen]
    assert targets == [b"/v1/messages?x=1", b"/v1/chat/completions", b"/v1/chat/completions"]
    assert orjson.loads(upstream.seen[0].body)["model"] == "gpt-6-luna"


@pytest.mark.parametrize(
    "line",
    [b"Authorization: Bearer %s\0", b"Author ization: Bearer %s", b"X-A: 1\r\n Bearer %s"],
    ids=["zero", "name", "fold"],
)
def test_a_key_in_a_line_that_cannot_be_read_is_not_logged(
    upstream: RawUpstream, caplog: pytest.LogCaptureFixture, capfd: Any, line: bytes
) -> None:
    request = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + line % CLIENT.encode()
    with Gateway(config=config(upstream)) as gateway:
        assert call(gateway.url, request + b"\r\n\r\n").status == 400

    assert "it is not valid HTTP" in caplog.text
    assert CLIENT not in caplog.text + "".join(capfd.readouterr())


def test_a_foreign_page_starts_nothing_where_no_key_is_needed_either(upstream: RawUpstream) -> None:
    text, page = (b"Content-Type", b"text/plain"), (b"Origin", b"https://evil.example")
    with Gateway(upstream.url) as gateway:
        foreign = ask(gateway, text, page)
        with_key = ask(gateway, JSON, page, (b"Authorization", b"Bearer mine"))
        local = ask(gateway, JSON, (b"Origin", b"http://localhost:3000"))
        script = ask(gateway, text)

    assert (foreign, with_key, local, script) == (403, 200, 200, 200)
    assert len(upstream.seen) == 3


@pytest.mark.parametrize("target", [b"/v1/chat/completions?key=%s", b"/v1/models?key=%s"])
@pytest.mark.parametrize("said", [b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nSet-Cookie: %s\0\r\n\r\n"])
def test_a_key_in_an_address_or_an_answer_that_fails_is_not_told(
    upstream: RawUpstream, caplog: pytest.LogCaptureFixture, target: bytes, said: bytes
) -> None:
    secret = CLIENT.encode()
    upstream.answer(said.replace(b"%s", secret))
    recorder = TestRecorder()
    with Gateway(upstream.url, interceptors=[recorder]) as gateway:
        request = request_bytes(target % secret, JSON, method=b"POST", body=CHAT)
        reply = call(gateway.url, request)

    assert reply.status == 502
    told = [each.answer.error for each in recorder.exchanges if each.answer is not None]
    assert told
    assert CLIENT not in f"{reply.body!r} {told} {caplog.text}"
