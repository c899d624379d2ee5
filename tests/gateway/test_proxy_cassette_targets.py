"""What of an address is written into a cassette."""

from __future__ import annotations

import pytest

from batchata.gateway.proxy.http.headers import decoded
from batchata.gateway.proxy.interceptors.message_logger import logged
from batchata.gateway.proxy.tape.cassette import target_of

SECRET = "sk-planted-0123456789abcdef"


@pytest.mark.parametrize(
    "name",
    [
        *("key", "%6Bey", "apiKey", "api-key", "subscription-key", "access_token", "token"),
        *("sig", "signature", "X-Amz-Signature", "X-Amz-Credential", "client_secret", "password"),
    ],
)
def test_no_key_of_an_address_is_written_down(name: str) -> None:
    assert target_of(f"/v1/x?a=1&{name}=hunter2&b=") == "/v1/x?a=1&b="


def test_what_has_the_shape_of_a_key_is_written_down_nowhere() -> None:
    assert SECRET not in target_of(f"/v1/{SECRET}/x?a={SECRET}&{SECRET}=1")


def test_what_tells_requests_apart_stays() -> None:
    assert target_of("/v1/x?page_token=p2&limit=5&limit=6") == (
        "/v1/x?page_token=p2&limit=5&limit=6"
    )
    assert target_of("/v1/models/meta%2Fllama") == "/v1/models/meta%2Fllama"


def test_bytes_that_are_no_utf8_are_written_as_they_were() -> None:
    assert target_of(b"/v1/x?a=\xff&b=\xc3\xbc".decode("utf-8", "surrogateescape")) == (
        "/v1/x?a=%FF&b=%C3%BC"
    )


def test_a_header_of_an_answer_can_be_written_down_whatever_its_bytes() -> None:
    headers = ((b"X-Request-Id", b"a\xff"), (b"Content-Type", "text/ü".encode()))

    assert logged(decoded(headers)) == {"x-request-id": "a?", "content-type": "text/ü"}
