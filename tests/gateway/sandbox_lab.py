"""A sandbox with a clock that the test moves, and a client of each real SDK."""

from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import orjson
from anthropic.types.messages import MessageBatch
from openai import OpenAI
from openai.types import Batch

from batchata.gateway import Sandbox, Scenario, with_faults

START = 1_790_000_000.0
OLD_VERSION = {"anthropic-version": "2023-06-01"}
Lines = list[dict[str, Any]]


@dataclass
class MovableClock:
    """A clock that stands still until it is moved."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Lab:
    """The sandbox, its clock, and a client of each vendor."""

    box: Sandbox
    clock: MovableClock
    openai: OpenAI
    anthropic: anthropic.Anthropic
    model: str = "gpt-6-luna"
    claude: str = "claude-haiku-5-5"

    def play(self, faults: str = "", **settings: Any) -> None:
        """Play a scenario made of settings and named faults."""
        self.box.set_scenario(with_faults(Scenario(**settings), faults))

    def chat_line(self, custom_id: str, **body: Any) -> dict[str, Any]:
        """Make one line of an input file."""
        messages = [{"role": "user", "content": f"question {custom_id}"}]
        return {
            "custom_id": custom_id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": self.model, "messages": messages, **body},
        }

    def upload(self, lines: Lines | bytes) -> str:
        """Upload an input file and give its id."""
        data = lines
        if not isinstance(data, bytes):
            data = b"".join(orjson.dumps(line) + b"\n" for line in data)
        return self.openai.files.create(file=("jobs.jsonl", data), purpose="batch").id

    def batch(self, lines: Lines | bytes | int = 10, **settings: Any) -> Batch:
        """Create an OpenAI batch of lines, or of so many chat lines."""
        if isinstance(lines, int):
            lines = [self.chat_line(f"id-{i}") for i in range(lines)]
        given: dict[str, Any] = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return self.openai.batches.create(input_file_id=self.upload(lines), **(given | settings))

    def poll(self, batch: Batch) -> Batch:
        """Look at an OpenAI batch again."""
        return self.openai.batches.retrieve(batch.id)

    def raw(self, file_id: str | None) -> bytes:
        """Download a file, which must be there."""
        assert file_id is not None
        return self.openai.files.content(file_id).content

    def lines(self, file_id: str | None) -> Lines:
        """Download a file and read its lines."""
        return [orjson.loads(line) for line in self.raw(file_id).split(b"\n") if line.strip()]

    def params(self, prompt: str = "hello", **extra: Any) -> dict[str, Any]:
        """Make the body of a messages request."""
        messages = [{"role": "user", "content": prompt}]
        return {"model": self.claude, "max_tokens": 200, "messages": messages, **extra}

    def claude_batch(self, n: int = 10, **extra: Any) -> MessageBatch:
        """Create an Anthropic batch of so many questions."""
        requests: Any = [
            {"custom_id": f"id-{i}", "params": self.params(f"question {i}", **extra)}
            for i in range(n)
        ]
        return self.anthropic.messages.batches.create(requests=requests)

    def claude_poll(self, batch: MessageBatch) -> MessageBatch:
        """Look at an Anthropic batch again."""
        return self.anthropic.messages.batches.retrieve(batch.id)

    def claude_raw(self, batch: MessageBatch) -> bytes:
        """Download an Anthropic batch's result lines as bytes."""
        path = f"/v1/messages/batches/{batch.id}/results"
        return self.anthropic.get(path, cast_to=httpx2.Response).content
