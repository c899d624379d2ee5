"""A job has the same body on the live route as in a batch, told by the vendors' own books."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from file_lab import png
from pydantic import BaseModel
from run_lab import CLAUDE, GPT, Lab

from batchata.documents.pdf import create_pdf

EMBED = "text-embedding-3-small"
TOOL = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT_TOOL = {"type": "function", "function": {"name": "weather", "parameters": TOOL}}
RESPONSE_TOOL = {"type": "function", "name": "weather", "parameters": TOOL}
CLAUDE_TOOL = {"name": "weather", "input_schema": TOOL}
TALK = [
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Übrigens: \u2028 and \U0001f600?"},
]


class Person(BaseModel):
    """What some ask for."""

    name: str
    age: int | None = None


def jobs(folder: Path) -> dict[str, dict[str, Any]]:
    """Jobs of every endpoint: plain, with a schema, with files, with tools."""
    paper, picture = folder / "paper.pdf", folder / "dot.png"
    paper.write_bytes(create_pdf(["The sky is green."]))
    picture.write_bytes(png())
    kinds: dict[str, dict[str, Any]] = {}
    for name, model, more in (
        ("chat", GPT, {}),
        ("responses", GPT, {"endpoint": "responses"}),
        ("claude", CLAUDE, {}),
    ):
        tool = {"chat": CHAT_TOOL, "responses": RESPONSE_TOOL, "claude": CLAUDE_TOOL}[name]
        base = {"model": model, **more}
        kinds |= {
            f"{name} prompt": {**base, "prompt": "Who are you?"},
            f"{name} talk": {**base, "messages": TALK, "max_tokens": 20},
            f"{name} system": {**base, "prompt": "Hello.", "system": "Be brief."},
            f"{name} schema": {**base, "prompt": "Who?", "response_model": Person},
            f"{name} tool schema": {
                **base,
                "prompt": "Who?",
                "response_model": Person,
                "structured": "tool",
            },
            f"{name} pdf": {**base, "prompt": "What colour?", "file": paper},
            f"{name} image": {**base, "prompt": "What is it?", "files": [picture, paper]},
            f"{name} tools": {**base, "prompt": "How warm is it?", "tools": [tool]},
        }
    kinds["claude citations"] = {
        "model": CLAUDE,
        "prompt": "What colour?",
        "file": paper,
        "enable_citations": True,
    }
    kinds["embedding"] = {"model": EMBED, "prompt": "Hello."}
    kinds["embeddings"] = {"model": EMBED, "input": ["one", "two"], "dimensions": 256}
    return kinds


def test_a_job_has_the_same_body_on_every_route(lab: Lab, tmp_path: Path) -> None:
    kinds = jobs(tmp_path)
    for route in ("live", "batch"):
        batch = lab.batch(tmp_path / route, items_per_batch=None).set_route(route)
        for name, job in kinds.items():
            batch.add_job(id=name.replace(" ", "-"), **job)
        assert batch.run().status()["failed"] == 0

    live = {(call.vendor, call.content) for call in lab.ledger.live}
    batched = {(item.vendor, item.content) for item in lab.ledger.items}

    assert live == batched
    assert len(live) == len(kinds)


@pytest.mark.parametrize("route", ["live", "batch"])
def test_the_books_tell_one_body_from_another(lab: Lab, tmp_path: Path, route: str) -> None:
    lab.batch().set_route(route).add_job(prompt="Hello.", model=GPT, id="a").run()
    other = lab.batch(tmp_path / "other").set_route("live")
    other.add_job(prompt="Hello!", model=GPT, id="a").run()

    assert len({call.content for call in (*lab.ledger.live, *lab.ledger.items)}) == 2
