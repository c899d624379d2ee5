"""What the gateway changes in a request is changed, and all else stays as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from raw_lab import JSON, OK, RawUpstream, call, request_bytes

from batchata.gateway import Gateway
from batchata.gateway.wire.objects import with_fields, with_texts, without_fields

#: numbers that a parser may round, and spellings that nothing would write again
ODD = b'"seed": 36893488147419103233, "a":1.10,"b" : [ 1E2 , -0.0 ]'
SECRET = "sk-ant-api03-0123456789abcdef"


def sent(tmp_path: Path, interceptor: dict[str, Any], body: bytes) -> bytes:
    """What the upstream is asked when a client sends this."""
    with (
        RawUpstream() as upstream,
        Gateway(upstream.url, config={"interceptors": [interceptor]}) as gateway,
    ):
        upstream.answer(OK)
        call(gateway.url, request_bytes(b"/v1/chat/completions", JSON, method=b"POST", body=body))
        return upstream.seen[0].body


def test_redact_writes_nothing_anew_but_texts_with_a_secret(tmp_path: Path) -> None:
    body = b'{"model": "m", "caf\\u00e9": "x", ODD, "k": "%s", "%s": "\\n%s"}'.replace(b"ODD", ODD)

    asked = sent(tmp_path, {"type": "redact"}, body.replace(b"%s", SECRET.encode()))

    assert asked == body.replace(b"%s", b"[anthropic_key]")


def test_redact_finds_what_only_the_first_of_two_equal_fields_says(tmp_path: Path) -> None:
    body = f'{{"model":"m","user":"{SECRET}","user":"u"}}'.encode()

    assert SECRET.encode() not in sent(tmp_path, {"type": "redact"}, body)


@pytest.mark.parametrize("before", [b"", b'"stream_options":{"include_obfuscation":false},'])
def test_asking_for_usage_leaves_the_rest_as_it_was_written(tmp_path: Path, before: bytes) -> None:
    state = str(tmp_path / "s.db")
    budget = {"type": "budget", "config": {"limit_usd": 5, "state": state, "ask_usage": True}}
    start = b'{"model":"gpt-6-luna","messages":[],"stream":true,'

    asked = sent(tmp_path, budget, start + before + ODD + b"}")

    numbers = b'"seed":36893488147419103233,"a":1.10,"b":[ 1E2 , -0.0 ]'
    assert asked.startswith(start + numbers + b',"stream_options":{')
    assert b'"include_usage":true' in asked


def test_fields_that_are_not_named_stay_as_they_were_written() -> None:
    text = b' {"a": 1, "stream" : true, "n": 36893488147419103233, "stream":false}'

    assert without_fields(text, ("stream",)) == b'{"a":1,"n":36893488147419103233}'
    assert with_fields(text, {"stream": None}) == b'{"a":1,"n":36893488147419103233,"stream":null}'


def test_texts_are_changed_wherever_they_stand() -> None:
    text = b'{"a\\"":["b\\\\",{"c":"\\\\\\""}],"d":12}'

    assert with_texts(text, str.upper) == b'{"A\\"":["B\\\\",{"C":"\\\\\\""}],"D":12}'
    assert with_texts(text, lambda said: said) == text
