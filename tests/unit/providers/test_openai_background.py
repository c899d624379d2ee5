"""How OpenAI is asked for a response in the background, and what its answers mean."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from batchata.core.result import Answer, Failure, Reason
from batchata.providers.openai.background import _is_sure, in_background, poll_after_seconds
from batchata.providers.openai.decode import decode_body
from batchata.providers.transport import Reply


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","input":"a } \\" b"}',
        b'{"model":"m","input":"x","store":true}',
        b'{"model":"m","input":"x","store":null,"background":false}',
        b'{"input":[{"store":false}]} \n',
    ],
)
def test_any_request_is_asked_for_in_the_background_and_stored(body: bytes) -> None:
    asked = orjson.loads(in_background(body))

    assert asked == {**orjson.loads(body), "background": True, "store": True}
    assert in_background(body).count(b'"background"') == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"openai-poll-after-ms": "1500"}, 1.5),
        ({"openai-poll-after-ms": "0"}, 0.0),
        ({"openai-poll-after-ms": "-5"}, 0.0),
        ({"openai-poll-after-ms": "99999999999"}, 3600.0),
        ({"openai-poll-after-ms": "soon"}, None),
        ({"openai-poll-after-ms": "nan"}, None),
        ({"openai-poll-after-ms": "inf"}, 3600.0),
        ({}, None),
    ],
)
def test_the_pace_in_a_header(headers: dict[str, str], seconds: float | None) -> None:
    assert poll_after_seconds(headers) == seconds


OWN = b'{"error":{"code":"overloaded","message":"slow down"}}'


@pytest.mark.parametrize(
    ("status", "body", "is_sure"),
    [
        (400, OWN, True),
        (401, OWN, True),
        (404, b"", True),
        (429, OWN, True),
        (503, OWN, True),
        (503, b"<html>upstream connect error</html>", False),
        (408, OWN, False),
        (409, OWN, False),
        (500, OWN, False),
        (502, b"", False),
        (504, b"", False),
        (520, b"", False),
    ],
)
def test_which_refusals_are_sure(status: int, body: bytes, is_sure: bool) -> None:
    assert _is_sure(Reply(status, {}, body)) is is_sure


def decoded(**fields: Any) -> Answer | Failure:
    body = {"id": "resp_1", "model": "m", "output": [], "usage": None, **fields}
    return decode_body("/v1/responses", orjson.dumps(body))


def test_a_cancelled_response_without_usage_cost_nothing() -> None:
    found = decoded(status="cancelled")

    assert isinstance(found, Failure)
    assert found.reason is Reason.VENDOR_CANCELLED


def test_a_cancelled_response_with_usage_is_paid_for() -> None:
    found = decoded(status="cancelled", usage={"input_tokens": 5, "output_tokens": 7})

    assert isinstance(found, Answer)
    assert found.finish_reason == "cancelled"
    assert found.usage is not None
    assert found.usage.output_tokens == 7
