"""The jobs of the demo: our own sample texts, asked in six ways at two vendors."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, Field

OPENAI_MODEL = "gpt-6-luna"
ANTHROPIC_MODEL = "claude-haiku-5-5"
EMBEDDING_MODEL = "text-embedding-3-small"
Row = dict[str, str]


class Ticket(BaseModel):
    """What a letter to the shop is about."""

    topic: Literal["payment", "delivery", "product", "account", "praise", "other"]
    urgency: Literal["low", "normal", "high"]
    summary: str
    needs_person: bool


class Review(BaseModel):
    """What a review says."""

    mood: Literal["happy", "mixed", "unhappy"]
    stars: int = Field(ge=1, le=5)
    reasons: list[str]


def demo_jobs() -> Iterator[dict[str, Any]]:
    """320 jobs with ids of their own, as arguments of `Batch.add_job`."""
    reviews, tickets = read_sample("reviews.csv"), read_sample("tickets.csv")
    yield from _each(
        "mood",
        reviews,
        "What does this review say? {text}",
        model=OPENAI_MODEL,
        response_model=Review,
    )
    yield from _each(
        "topic",
        tickets,
        "What is this letter about? {text}",
        model=ANTHROPIC_MODEL,
        response_model=Ticket,
    )
    yield from _each("short", [*reviews, *tickets], "In five words: {text}", model=OPENAI_MODEL)
    yield from _each(
        "reply",
        tickets,
        "Write a kind reply to {customer}: {text}",
        model=ANTHROPIC_MODEL,
        system="You answer letters to a small shop.",
    )
    yield from _each(
        "french", reviews, "Put this into French: {text}", model=OPENAI_MODEL, endpoint="responses"
    )
    yield from _each("vector", [*reviews, *tickets], "{text}", model=EMBEDDING_MODEL)


def read_sample(name: str) -> list[Row]:
    """Rows of a sample file."""
    text = files("batchata.cli.samples").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _each(task: str, rows: list[Row], prompt: str, **params: Any) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {
            "id": f"{task}-{row['id']}",
            "prompt": prompt.format_map(row),
            "metadata": {"task": task, "row": row["id"]},
            "max_tokens": 200,
            **params,
        }
