"""Whose protocol an endpoint speaks, and the tokens of an answer."""

from dataclasses import dataclass
from typing import Literal

Endpoint = Literal["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages"]
Vendor = Literal["openai", "anthropic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens of one answer: input includes cached tokens, output includes reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


def vendor_of(endpoint: str) -> Vendor:
    """Say whose endpoint this is."""
    return "anthropic" if endpoint.startswith("/v1/messages") else "openai"
