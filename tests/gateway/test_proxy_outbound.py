"""Upstreams that only an HTTP proxy reaches."""

from __future__ import annotations

import base64
import socket

import pytest
from raw_lab import JSON, OK, RawUpstream, Seen, call, request_bytes

from batchata.core.errors import ValidationError
from batchata.gateway import Gateway
from batchata.gateway.proxy.config.loading import load_config
from batchata.gateway.proxy.server import unused_proxy

QUESTION = request_bytes(b"/v1/chat/completions?a=%2f", JSON, method=b"POST", body=b"{}")
UPSTREAM = "http://vendor.invalid:8000/api"


def by_way_of(proxy: str, base_url: str = UPSTREAM) -> Gateway:
    return Gateway(config={"llm": {"base_url": base_url, "outbound_proxy": proxy}})


@pytest.mark.parametrize("target", [b"/v1/chat/completions?a=%2f", b"/v1/things?a=%2f"])
def test_a_proxy_is_told_the_whole_address_and_who_we_are(target: bytes) -> None:
    with RawUpstream() as proxy:
        with by_way_of(f"http://me:s%40cret@127.0.0.1:{proxy.port}") as gateway:
            replies = [
                call(gateway.url, request_bytes(target, JSON, method=b"POST", body=b"{}"))
                for _ in range(2)
            ]

        assert [each.status for each in replies] == [200, 200]
        assert proxy.connections == 1
        for seen in proxy.seen:
            assert seen.target == b"http://vendor.invalid:8000/api" + target
            assert seen.all(b"host") == [b"vendor.invalid:8000"]
            said = base64.b64encode(b"me:s@cret")
            assert seen.all(b"proxy-authorization") == [b"Basic " + said]


def test_a_tunnel_that_is_refused_is_a_502_without_the_password() -> None:
    def refuse(connection: socket.socket, seen: Seen) -> None:
        refused = OK.replace(b"200 OK", b"407 Proxy Authentication Required")
        connection.sendall(refused)

    with RawUpstream(refuse) as proxy:
        place = f"127.0.0.1:{proxy.port}"
        with by_way_of(f"http://me:s3cret@{place}", "https://vendor.invalid") as gateway:
            reply = call(gateway.url, QUESTION)

        [seen] = proxy.seen
        assert seen.line == b"CONNECT vendor.invalid:443 HTTP/1.1"
    assert reply.status == 502
    assert f"by way of {place}) cannot be reached" in reply.body.decode()
    assert b"s3cret" not in reply.body


def test_a_proxy_that_is_not_there_is_a_502_that_names_it() -> None:
    with by_way_of("http://me:s3cret@127.0.0.1:9", "https://vendor.invalid") as gateway:
        reply = call(gateway.url, QUESTION)

    assert (reply.status, b"s3cret" in reply.body) == (502, False)
    assert b"by way of 127.0.0.1:9) cannot be reached" in reply.body


def test_a_proxy_of_the_environment_is_not_used_and_the_start_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "near.example")
    with RawUpstream() as upstream, Gateway(upstream.url) as gateway:
        assert call(gateway.url, QUESTION).status == 200

    def told(**section: str) -> str | None:
        return unused_proxy(load_config(given={"llm": section}, environment={}))

    assert "write outbound_proxy: ${HTTPS_PROXY}" in (told(base_url="https://a.example") or "")
    assert told(base_url="https://near.example") is None
    assert told(base_url="http://127.0.0.1:8000") is None
    assert told(base_url="https://a.example", outbound_proxy="http://127.0.0.1:9") is None


@pytest.mark.parametrize("wrong", ["socks5://me:s3cret@h:1", "me:s3cret@h:1", "http://h/s3cret"])
def test_what_is_no_http_proxy_is_refused_without_a_word_of_it(wrong: str) -> None:
    with pytest.raises(ValidationError, match=r"llm\.outbound_proxy: .*http://HOST:PORT") as raised:
        load_config(given={"llm": {"base_url": UPSTREAM, "outbound_proxy": wrong}}, environment={})

    assert "s3cret" not in str(raised.value)
