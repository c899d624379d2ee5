"""The worst case of a job is never below what its vendor can bill, whatever the job is made of."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from batchata import Batch, GenaiPriceBook, Usage
from batchata.documents.pdf import create_pdf

PRICES = GenaiPriceBook()
MODELS = {"gpt-6-luna": "openai", "gpt-5.5": "openai", "claude-haiku-5-5": "anthropic"}
#: by the vendors' own words: the most that a page is billed as an image, and an image at all
PAGE_TOKENS = {"openai": 2_500, "anthropic": 4_784}
FRAMING_TOKENS = 4
#: what vendors are told of a Person, at the least
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


class Person(BaseModel):
    """Whom some jobs ask for."""

    name: str
    age: int


TOOL_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@dataclass(frozen=True)
class Part:
    """A file of a job, and the tokens that its vendor counts for it."""

    name: str
    data: bytes
    tokens: dict[str, int]


@cache
def png(width: int, height: int) -> Part:
    """A black image of this size."""
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", rows)]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [*chunks, (b"IEND", b"")]
    )
    patches = {size: ceil(width / size) * ceil(height / size) for size in (28, 32)}
    tokens = {"openai": patches[32], "anthropic": min(patches[28], PAGE_TOKENS["anthropic"])}
    return Part("a.png", data, tokens)


@cache
def pdf(pages: int, words: int) -> Part:
    """A PDF whose every page is billed as an image, and as its text."""
    text = "word " * words
    tokens = {vendor: pages * (each + len(text)) for vendor, each in PAGE_TOKENS.items()}
    return Part("b.pdf", create_pdf([text] * pages), tokens)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
PARTS = st.sampled_from([png(20, 30), png(700, 1_100), png(3_000, 2_000), pdf(1, 30), pdf(3, 200)])


@pytest.mark.parametrize("route", ["batch", "live"])
@given(
    text=TEXTS,
    times=st.sampled_from([1, 1, 500, 20_000]),  # the last one is beyond every long-context tier
    parts=st.lists(PARTS, max_size=3),
    model=st.sampled_from(sorted(MODELS)),
    max_tokens=st.integers(1, 4_000),
    has_schema=st.booleans(),
    tools=st.lists(TEXTS, max_size=3),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_no_bill_is_above_the_worst_case(
    route: Any,
    text: str,
    times: int,
    parts: list[Part],
    model: str,
    max_tokens: int,
    has_schema: bool,
    tools: list[str],
    shares: tuple[float, float, float],
) -> None:
    vendor, prompt = MODELS[model], text * times
    extra: dict[str, Any] = {"response_model": Person} if has_schema else {}
    if tools and not has_schema:
        extra["tools"] = [tool(vendor, number, about) for number, about in enumerate(tools)]
    if parts:
        extra["files"] = [(f"{number}{part.name}", part.data) for number, part in enumerate(parts)]
    batch = Batch().set_route(route)
    batch.add_job(prompt=prompt, model=model, max_tokens=max_tokens, **extra)

    estimate = batch.estimate()

    told = SCHEMA if has_schema else extra.get("tools", "")
    said = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    tokens = len(prompt.encode()) + len(said.encode()) + FRAMING_TOKENS
    tokens += sum(part.tokens[vendor] for part in parts)
    read = int(tokens * shares[0])
    written = int((tokens - read) * shares[1])
    usage = Usage(
        input_tokens=tokens,
        output_tokens=max_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=int(written * shares[2]),
    )
    card = PRICES.card(vendor, model, "batch" if route == "batch" else "standard")
    assert not estimate.bad
    assert card.cost_usd(usage) <= estimate.worst_case_usd


def tool(vendor: str, number: int, about: str) -> dict[str, Any]:
    """A function that the model may call."""
    named = {"name": f"tool_{number}", "description": about}
    if vendor == "anthropic":
        return {**named, "input_schema": TOOL_SCHEMA}
    return {"type": "function", "function": {**named, "parameters": TOOL_SCHEMA}}
