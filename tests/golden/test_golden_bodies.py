"""The request bodies that leave, against files on disk and the SDKs' own types."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from golden_cases import BODIES, CASES, encode
from sdk_types import misfits

#: removed from the SDK's types, and still in the protocol version that these bodies name
_OLD_KEYS = {"anthropic_sampling": {"temperature"}}


def sdk_type(endpoint: str) -> Any:
    """The type by which the vendor's SDK knows a request of this endpoint."""
    from anthropic.types.messages.batch_create_params import Request
    from openai.types import EmbeddingCreateParams
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
    from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

    return {
        "/v1/chat/completions": CompletionCreateParamsNonStreaming,
        "/v1/responses": ResponseCreateParamsNonStreaming,
        "/v1/embeddings": EmbeddingCreateParams,
        "/v1/messages": Request,
    }[endpoint]


@pytest.mark.parametrize("name", CASES)
def test_a_body_is_the_golden_one(name: str) -> None:
    golden = orjson.loads((BODIES / f"{name}.json").read_bytes())

    assert orjson.loads(encode(name).body) == golden


@pytest.mark.parametrize("name", CASES)
def test_every_key_that_is_sent_is_one_that_the_sdk_knows(name: str) -> None:
    encoded = encode(name)
    body = orjson.loads(encoded.body)
    for key in _OLD_KEYS.get(name, ()):
        del body[key]
    if encoded.shape.endpoint == "/v1/messages":
        body = {"custom_id": "a", "params": body}

    found = list(misfits(body, sdk_type(encoded.shape.endpoint)))

    assert found == []


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in BODIES.iterdir()} == set(CASES)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"model": "m", "messages": [], "stream": True}, "stream"),
        ({"model": "m", "messages": [], "tempurature": 1}, "tempurature: unknown"),
        ({"model": "m"}, "messages: missing"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "txt"}]}]}, "content"),
        ({"model": "m", "messages": [], "seed": "x"}, "seed"),
    ],
)
def test_the_comparison_with_the_sdks_types_sees_what_is_wrong(
    body: dict[str, Any], says: str
) -> None:
    found = list(misfits(body, sdk_type("/v1/chat/completions")))

    assert says in " ".join(found)
