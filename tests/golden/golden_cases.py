"""Jobs whose request bodies lie as JSON in `bodies/`; run this file to write them anew."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import BaseModel

from batchata.core.document import Document, FileId, FileUrl
from batchata.core.job import Job
from batchata.documents import load
from batchata.ports import Codec, Encoded
from batchata.providers.anthropic.codec import AnthropicCodec
from batchata.providers.openai.codec import OpenAICodec

BODIES: Final = Path(__file__).parent / "bodies"
MODELS: Final = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
PIXEL: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


class Line(BaseModel):
    """One line of an invoice."""

    what: str
    price: float


class Invoice(BaseModel):
    """What structured cases ask for: nested, with a list and an optional field."""

    number: str
    lines: list[Line]
    note: str | None = None


TALK: Final = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "How are you?"},
]
WEATHER: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT_TOOL: Final = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
RESPONSE_TOOL: Final = {
    "type": "function",
    "name": "weather",
    "parameters": WEATHER,
    "strict": True,
}
CLAUDE_TOOL: Final = {"name": "weather", "description": "of a city", "input_schema": WEATHER}


def job(**fields: Any) -> Job:
    """A job of a golden case."""
    params = {name: fields.pop(name) for name in tuple(fields) if name not in _FIELDS}
    return Job("a", fields.pop("model", ""), params=params, **fields)


_FIELDS: Final = frozenset(Job.__dataclass_fields__)
TEXT: Final = ("note.txt", b"The sky is green.")
IMAGE: Final = ("dot.png", PIXEL)
PDF_URL: Final = FileUrl("https://example.com/a.pdf")
IMAGE_URL: Final = FileUrl("https://example.com/a.png")

#: by the name of the golden file, which begins with the provider's
CASES: Final[dict[str, Job]] = {
    "openai_chat_prompt": job(prompt="Hello."),
    "openai_chat_messages": job(messages=TALK, temperature=0.5, max_tokens=20),
    "openai_chat_params": job(
        prompt="Hello.",
        system="Be brief.",
        top_p=0.9,
        seed=7,
        stop=["END"],
        reasoning_effort="low",
        tools=[CHAT_TOOL],
        tool_choice="auto",
        n=2,
        max_completion_tokens=50,
    ),
    "openai_chat_schema": job(prompt="Read it.", response_model=Invoice),
    "openai_chat_schema_tool": job(prompt="Read it.", response_model=Invoice, structured="tool"),
    "openai_chat_schema_prompt": job(
        prompt="Read it.", response_model=Invoice, structured="prompt"
    ),
    "openai_chat_files": job(prompt="Compare.", files=[TEXT, IMAGE, IMAGE_URL, FileId("file-1")]),
    "openai_responses_prompt": job(prompt="Hello.", endpoint="responses"),
    "openai_responses_messages": job(messages=TALK, endpoint="responses", max_tokens=20),
    "openai_responses_params": job(
        prompt="Hello.",
        endpoint="responses",
        system="Be brief.",
        reasoning_effort="low",
        text={"verbosity": "low"},
        tools=[RESPONSE_TOOL],
        store=False,
        temperature=1.0,
        top_p=0.5,
    ),
    "openai_responses_schema": job(prompt="Read it.", endpoint="responses", response_model=Invoice),
    "openai_responses_files": job(
        prompt="Compare.",
        endpoint="responses",
        files=[TEXT, IMAGE, PDF_URL, FileId("file-1"), FileId("file-2", "image")],
    ),
    "openai_embeddings_prompt": job(model="text-embedding-3-small", prompt="Hello."),
    "openai_embeddings_input": job(
        model="text-embedding-3-small", input=["one", "two"], dimensions=256
    ),
    "anthropic_prompt": job(prompt="Hello."),
    "anthropic_messages": job(messages=TALK, max_tokens=20),
    "anthropic_params": job(
        prompt="Hello.",
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        stop_sequences=["END"],
        reasoning_effort="low",
        thinking={"type": "adaptive"},
        tools=[CLAUDE_TOOL],
        tool_choice={"type": "auto"},
    ),
    "anthropic_schema": job(prompt="Read it.", response_model=Invoice),
    "anthropic_schema_tool": job(prompt="Read it.", response_model=Invoice, structured="tool"),
    "anthropic_schema_prompt": job(prompt="Read it.", response_model=Invoice, structured="prompt"),
    "anthropic_files": job(
        prompt="Compare.", files=[TEXT, IMAGE, IMAGE_URL, PDF_URL, FileId("file_1")]
    ),
    "anthropic_citations": job(prompt="What colour?", file=TEXT, enable_citations=True),
    "anthropic_sampling": job(model="claude-haiku-4-5", prompt="Hello.", temperature=0.5),
}


def documents(of: Job) -> Sequence[Document]:
    """The job's files, read."""
    return [load(source) for source in of.sources]


def encode(name: str) -> Encoded:
    """A case in its vendor's words."""
    provider = name.partition("_")[0]
    codec: Codec = OpenAICodec() if provider == "openai" else AnthropicCodec()
    case = CASES[name]
    return codec.encode(case, case.model or MODELS[provider], documents(case))


if __name__ == "__main__":
    for case_name in CASES:
        path = BODIES / f"{case_name}.json"
        body = orjson.loads(encode(case_name).body)
        path.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")
