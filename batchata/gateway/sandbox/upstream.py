"""What is behind the sandbox's routes: scripted answers, or those of a test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from batchata.gateway.wire.anthropic import MessagesRequest
from batchata.gateway.wire.openai import ChatRequest, EmbeddingsRequest, ResponsesRequest
from batchata.gateway.wire.vendors import Endpoint, TokenUsage

ModelRequest = ChatRequest | ResponsesRequest | EmbeddingsRequest | MessagesRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One validated model request, on its way to whatever answers it."""

    endpoint: Endpoint
    request: ModelRequest
    body: bytes  #: the request as it came
    seed: bytes = b""  #: what a scripted answer is made of: the request, its uploads by content
    custom_id: str = ""
    is_batch: bool = False
    version: str = ""  #: the anthropic-version header, empty for OpenAI
    files: Mapping[str, Path] = field(default_factory=dict)  #: uploads it names, by id


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: an HTTP status, a JSON body and the usage to bill (none when refused)."""

    status: int
    body: bytes
    usage: TokenUsage | None = None


class Upstream(Protocol):
    """Turns a question into an answer; a vendor's refusal is an answer too."""

    async def answer(self, question: Question) -> Answer:
        """Answer one question."""
        ...
