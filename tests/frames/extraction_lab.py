"""A sandbox with a model that reads rows and answers about each, well or badly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from batchata import Batch
from batchata.frames import extract_df
from batchata.gateway import Sandbox, Scenario
from batchata.gateway.sandbox.answers import ScriptedUpstream
from batchata.gateway.sandbox.upstream import Answer, Question

Rows = list[dict[str, str]]
GPT = "gpt-6-luna"
CLAUDE = "claude-haiku-5-5"
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string"}, "length": {"type": "integer"}},
    "required": ["mood", "length"],
}


COUNT = 40


def frame() -> pd.DataFrame:
    """A table of `COUNT` rows."""
    return pd.DataFrame({"id": range(COUNT), "text": [f"text {n}" for n in range(COUNT)]})


def good(row: dict[str, str]) -> dict[str, Any]:
    """The right answer to a row."""
    return {
        "input_id": row["input_id"],
        "mood": f"mood of {row['input_text']}",
        "length": len(row["input_text"]),
    }


def well(rows: Rows) -> Any:
    """The right answer to a pack."""
    return {"all_results": [good(row) for row in rows]}


class Model:
    """Answers by `reply`, a function of the rows to JSON or text; remembers what it was asked."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Be a good model again."""
        self.reply: Callable[[Rows], Any] = well
        self.packs: list[list[str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.ahead = 0.0  #: seconds that a test has let pass
        self._items: set[str] = set()
        self.prompts: list[str] = []  #: questions that were no packs of rows

    def take(self, rows: Rows, body: dict[str, Any], custom_id: str) -> None:
        """Remember a question; the sandbox works out an item of a batch more than once."""
        if custom_id and custom_id in self._items:
            return
        self._items.add(custom_id)
        self.packs.append([row["input_id"] for row in rows])
        self.bodies.append(body)

    @property
    def asked(self) -> list[str]:
        """Ids of the rows asked about, once for each time."""
        return sorted(row_id for pack in self.packs for row_id in pack)

    def now(self) -> float:
        """The sandbox's clock."""
        return time.time() + self.ahead

    def upstream(self, scenario: Scenario, *rest: Any) -> Upstream:
        """What stands behind the sandbox's routes."""
        return Upstream(self, scenario, *rest)


class Upstream:
    """A scripted upstream whose script is the model."""

    def __init__(self, model: Model, scenario: Scenario, *rest: Any) -> None:
        self._model = model
        self._scenario = scenario
        self._rest = rest

    async def answer(self, question: Question) -> Answer:
        """Answer by the rows in the question."""
        body = orjson.loads(question.body)
        try:
            rows = orjson.loads(body["messages"][-1]["content"])
        except (orjson.JSONDecodeError, TypeError):
            self._model.prompts.append(body["messages"][-1]["content"])
            return await ScriptedUpstream(self._scenario, *self._rest).answer(question)
        self._model.take(rows, body, question.custom_id)
        said = self._model.reply(rows)
        text = said if isinstance(said, str) else orjson.dumps(said).decode()
        script = replace(self._scenario, replies={"": text})
        return await ScriptedUpstream(script, *self._rest).answer(question)


class FrameLab:
    """A sandbox, its model, a folder, and calls that reach the one and write into the other."""

    def __init__(self, box: Sandbox, model: Model, folder: Path) -> None:
        self.box = box
        self.model = model
        self.folder = folder
        self.cache = folder / "answers.sqlite"

    def batch(self, results_dir: str | None = None, state: str = "rows.db") -> Batch:
        """An empty live batch that reaches the sandbox."""
        batch = Batch(results_dir).set_state(self.folder / state).set_route("live")
        batch.set_provider("openai", api_key="sk-test", base_url=self.box.openai_base_url)
        batch.set_default_params(model=GPT, max_tokens=60)
        return batch.set_polling(0.001).set_retries(settle_seconds=0.02)

    def extract(self, df: Any, **changes: Any) -> Any:
        """`extract_df` with the usual arguments."""
        given: dict[str, Any] = {
            "prompt": "Say the mood.",
            "cache_path": self.cache,
            "model": GPT,
            "schema": SCHEMA,
            "api_key": "sk-test",
            "base_url": self.box.openai_base_url,
            "print_status": False,
        }
        if changes.get("backend") == "anthropic":
            given.update(model=CLAUDE, base_url=self.box.anthropic_base_url)
        return extract_df(df, **{**given, **changes})


@contextmanager
def model_box() -> Iterator[tuple[Sandbox, Model]]:
    """A sandbox with such a model behind it."""
    model = Model()
    with Sandbox(make_upstream=model.upstream, clock=model.now) as box:
        yield box, model
