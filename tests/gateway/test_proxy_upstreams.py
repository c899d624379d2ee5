"""Several upstreams: none is taken for another, and none is there for nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from raw_lab import JSON, RawUpstream, call, request_bytes

from batchata.core.errors import ValidationError
from batchata.gateway import Gateway
from batchata.gateway.proxy.config.loading import load_config

VENDOR = "https://api.openai.com"


def names(*upstreams: dict[str, Any]) -> list[str]:
    found = load_config(given={"upstreams": list(upstreams)}, environment={})
    return [each.name for each in found.all_upstreams()]


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ({"base_url": VENDOR}, {"base_url": "http://h:1", "models": ["x"]}, "api.openai.com h"),
        (
            {"base_url": "http://h:1"},
            {"base_url": "http://h:2", "models": ["x"]},
            "h:1 h:2",
        ),
        (
            {"base_url": VENDOR, "prefix": "/a"},
            {"base_url": VENDOR, "prefix": "/b"},
            "api.openai.com/a api.openai.com/b",
        ),
        (
            {"base_url": VENDOR, "models": ["a"]},
            {"base_url": VENDOR, "models": ["b"]},
            "api.openai.com api.openai.com#2",
        ),
        (
            {"base_url": VENDOR, "name": "h"},
            {"base_url": "http://h:1", "models": ["b"]},
            "h h:1",
        ),
        (
            {"base_url": "unix:///a/v.sock"},
            {"base_url": "unix:///b/v.sock", "models": ["b"]},
            "/a/v.sock /b/v.sock",
        ),
    ],
)
def test_each_upstream_has_a_name_of_its_own(
    first: dict[str, Any], second: dict[str, Any], found: str
) -> None:
    assert names(first, second) == found.split()


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {}, "no prefix and no models, and the type openai: one of them would never be asked"),
        ({"prefix": "/a"}, {"prefix": "/a/"}, "the prefix /a: one of them would"),
        ({"prefix": "/a", "models": ["x"]}, {}, "models has no effect beside prefix"),
        ({"models": ["x", "y*"]}, {"models": ["x", "y*"]}, "the models x, y*: one of them would"),
        ({"name": "a"}, {"name": "a", "prefix": "/b"}, "are named 'a': give each a name"),
    ],
)
def test_an_upstream_that_is_never_asked_or_taken_for_another_is_an_error(
    first: dict[str, Any], second: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        names({"base_url": "http://a", **first}, {"base_url": "http://b", **second})


def test_both_vendors_may_be_there_without_prefix_and_models() -> None:
    claude = {"base_url": "https://api.anthropic.com"}

    assert names({"base_url": VENDOR}, claude) == ["api.openai.com", "api.anthropic.com"]


def test_upstreams_of_one_host_are_counted_apart() -> None:
    with RawUpstream() as one, RawUpstream() as other:
        upstreams = [{"base_url": one.url}, {"base_url": other.url, "models": ["llama-*"]}]
        with Gateway(config={"upstreams": upstreams}) as gateway:
            for model in (b"gpt-6-luna", b"llama-4", b"llama-5"):
                body = b'{"model": "%b"}' % model
                call(gateway.url, request_bytes(b"/v1/x", JSON, method=b"POST", body=body))
            text = call(gateway.url, request_bytes(b"/metrics")).body.decode()

    for upstream, count in ((one, 1), (other, 2)):
        name = upstream.url.removeprefix("http://")
        assert re.search(rf'requests_total{{upstream="{name}",.*}} {count}\n', text)


@pytest.mark.parametrize(
    "target",
    [
        *(b"/../team-b/v1/models", b"/..", b"/v1/../../team-b", b"/a//../../b", b"/./../b?c=/d"),
        *(b"/%2e%2E/team-b", b"/..%2fteam-b", b"/..\\team-b", b"/..;x=1/team-b"),
    ],
)
def test_no_path_leaves_that_of_its_upstream(target: bytes) -> None:
    with RawUpstream() as upstream:
        given = {"base_url": f"{upstream.url}/team-a", "name": "a", "prefix": "/a"}
        with Gateway(config={"upstreams": [given]}) as gateway:
            refused = call(gateway.url, request_bytes(b"/a" + target))

    assert refused.status == 400
    assert b"leaves the gateway's upstream a with its '..'" in refused.body
    assert not upstream.seen


@pytest.mark.parametrize(
    ("path", "target"),
    [("/team-a", b"/v1/x/../y/..z/...?q=../.."), ("", b"/../v1/models"), ("", b"/%2e%2e/x")],
)
def test_dots_that_lead_nowhere_else_are_sent_as_they_are(path: str, target: bytes) -> None:
    with RawUpstream() as upstream, Gateway(upstream.url + path) as gateway:
        assert call(gateway.url, request_bytes(target)).status == 200

    assert upstream.seen[0].target == path.encode() + target


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (b"llama-4", "the model 'llama-4' at /v1/x; it has those for gpt-*/o?, /claude"),
        (b"claude-x", "the model 'claude-x' at /v1/x; it has those for gpt-*/o?, /claude"),
    ],
)
def test_a_model_that_no_upstream_has_is_named(model: bytes, said: str) -> None:
    upstreams: list[dict[str, Any]] = [
        {"base_url": "http://127.0.0.1:9", "name": "a", "models": ["gpt-*", "o?"]},
        {"base_url": "http://127.0.0.1:9", "name": "b", "prefix": "/claude"},
    ]
    body = b'{"model": "%b"}' % model
    with Gateway(config={"upstreams": upstreams}) as gateway:
        found = call(gateway.url, request_bytes(b"/v1/x", JSON, method=b"POST", body=body))

    assert found.status == 404
    assert said in found.body.decode()
