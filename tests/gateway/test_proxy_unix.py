"""Upstreams that listen on a Unix socket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_lab import JSON, RawUpstream, call, request_bytes

from batchata.core.errors import ValidationError
from batchata.gateway import Gateway
from batchata.gateway.proxy.config.loading import load_config
from batchata.gateway.proxy.http import asking

ASK = request_bytes(b"/v1/chat/completions?a=b", JSON, method=b"POST", body=b'{"model":"m"}')


@pytest.fixture
def path() -> Iterator[str]:
    """A short one: the system takes no more than about a hundred characters."""
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "vllm.sock")


@pytest.mark.parametrize("is_known", [True, False])
def test_calls_go_through_the_socket_on_one_connection(
    path: str, is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "is_known_aiohttp", lambda: is_known)

    with RawUpstream(path=path) as upstream, Gateway(f"{upstream.url}/v1") as gateway:
        replies = [call(gateway.url, ASK) for _ in range(2)]

    assert [each.status for each in replies] == [200, 200]
    assert [each.target for each in upstream.seen] == [b"/v1/chat/completions?a=b"] * 2
    assert upstream.seen[0].body == b'{"model":"m"}'
    assert upstream.connections == 1


def test_two_sockets_are_two_upstreams(path: str) -> None:
    one, two = f"{path}1", f"{path}2"
    config = {
        "upstreams": [
            {"base_url": f"unix://{one}", "prefix": "/one"},
            {"base_url": f"unix://{two}", "prefix": "/two"},
        ]
    }

    with (
        RawUpstream(path=one) as first,
        RawUpstream(path=two) as second,
        Gateway(config=config) as gateway,
    ):
        call(gateway.url, request_bytes(b"/two/v1/models"))
        assert (first.connections, second.connections) == (0, 1)
        call(gateway.url, request_bytes(b"/one/v1/models"))

    assert (first.connections, second.connections) == (1, 1)


def test_a_socket_that_nobody_listens_on_is_told_by_its_path(path: str) -> None:
    with Gateway(f"unix://{path}") as gateway:
        reply = call(gateway.url, ASK)

    assert reply.status == 502
    assert f"(unix://{path}) cannot be reached: No such file or directory" in reply.body.decode()


@pytest.mark.parametrize(
    ("llm", "said"),
    [
        ({"base_url": "unix://run/vllm.sock"}, "write unix:///run/vllm.sock"),
        ({"base_url": "unix:///"}, "write unix:///run/vllm.sock"),
        (
            {"base_url": "unix:///a", "outbound_proxy": "http://p:1"},
            "cannot be reached by outbound_proxy",
        ),
    ],
)
def test_a_wrong_address_of_a_socket_says_what_to_write(llm: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        load_config(given={"llm": llm}, environment={})
