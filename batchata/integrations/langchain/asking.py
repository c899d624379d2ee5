"""Rows of a table as calls of a chain, in threads: a chain's clients belong to no event loop."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.runnables import (
    RunnableBinding,
    RunnableConfig,
    RunnableParallel,
    RunnableSequence,
)
from langchain_core.runnables.config import merge_configs

from batchata.core.errors import UnknownPriceError, ValidationError
from batchata.core.job import Job, UnaskableJob, digest
from batchata.core.logged import to_json
from batchata.core.result import Answer
from batchata.core.usage import RateCard, Usage
from batchata.prices import GenaiPriceBook
from batchata.providers.openai.codec import CHAT, RESPONSES
from batchata.providers.openai.decode import decode_body

NAME = "langchain"
#: where an object lives changes from run to run
_ADDRESS = re.compile(rb" at 0x[0-9a-fA-F]+")
NO_PROMPT = "the row has no prompt"


@dataclass(frozen=True, slots=True)
class Columns:
    """Cells of a pandas or polars table, by row."""

    prompts: Any
    configs: Any
    tools: Any

    @classmethod
    def of(cls, table: Any, prompt: str, config: str, tools: str) -> Columns:
        """The columns; ValidationError when the one of the prompts is not there."""
        names = list(getattr(table, "columns", ()))
        if prompt not in names:
            raise ValidationError(
                f"the table has no column {prompt!r}; it has {', '.join(map(str, names))}",
                hint='name it: prompt_col="…", or ColumnConfig(prompt="…")',
            )
        found = [_cells(table, name) if name in names else None for name in (prompt, config, tools)]
        return cls(*found)

    def __len__(self) -> int:
        return len(self.prompts)

    def row(self, number: int) -> tuple[Any, dict[str, Any], Any]:
        """Prompt, config and tools of a row; None and an empty config where it has none."""
        config, tools = _cell(self.configs, number), _cell(self.tools, number)
        return _cell(self.prompts, number), dict(config or {}), tools


@dataclass(frozen=True, slots=True)
class Called:
    """What came of one call."""

    output: Any
    error: Exception | None
    usage: Usage | None  #: None: no model was asked, or none that says
    cost_usd: Decimal  #: of calls whose price is known


@dataclass(slots=True)
class Asked:
    """A chain and the rows it is asked about."""

    llm: Any
    columns: Columns
    keeps_errors: bool = True
    rows: dict[str, int] = field(default_factory=dict)  #: job id → number of the row
    errors: dict[str, Exception] = field(default_factory=dict)  #: what rows of this run raised
    cards: dict[str, RateCard | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def jobs(self) -> Iterator[Job]:
        """A job for each row; its id follows from the chain, the prompt and the tools."""
        chain = _ADDRESS.sub(b"", dumps(self.llm).encode())
        seen: dict[str, int] = {}
        model, most = f"{NAME}:{self.model_name}", self.max_tokens
        for number in range(len(self.columns)):
            prompt, _, tools = self.columns.row(number)
            asked = _ADDRESS.sub(b"", to_json([prompt, tools]))
            stem = f"lc-{digest(chain, asked).hex()}"
            count = seen[stem] = seen.get(stem, 0) + 1
            job_id = stem if count == 1 else f"{stem}-{count}"
            self.rows[job_id] = number
            if prompt is None:
                yield UnaskableJob(job_id, model, prompt="", why=NO_PROMPT)
            else:
                yield Job(job_id, model, max_tokens=most, params={"input": asked.decode()})

    def call(self, job_id: str) -> Called:
        """Ask about one row."""
        prompt, config, tools = self.columns.row(self.rows[job_id])
        used = UsageMetadataCallbackHandler()
        given = merge_configs(cast(RunnableConfig, config), {"callbacks": [used]})
        more = {} if tools is None else {"tools": tools}
        output, error = None, None
        try:
            output = self.llm.invoke(prompt, given, **more)
        except Exception as raised:  # noqa: BLE001  a chain of the user may raise anything
            error = raised
            if self.keeps_errors:
                self.errors[job_id] = raised
        usage, cost = self._spent(used)
        if error is not None and usage is None:
            usage, cost = self._spent_unread(error)
        return Called(output, error, usage, cost)

    @property
    def model(self) -> BaseChatModel | None:
        """The one model in the chain; None when it has several, or none that can be seen."""
        found = list(_models(self.llm))
        return found[0] if len(found) == 1 else None

    @property
    def model_name(self) -> str:
        """What the rows are asked of."""
        name = self._said("ls_model_name") or type(self.model or self.llm).__name__
        return str(name)

    @property
    def max_tokens(self) -> int | None:
        """The cap of an answer, where the model names one."""
        found = self._said("ls_max_tokens")
        return found if isinstance(found, int) and found > 0 else None

    def card(self, model: str | None = None) -> RateCard | None:
        """Prices of a model; None where they are not known."""
        provider = self._said("ls_provider")
        name = model or self._said("ls_model_name")
        if not provider or not name:
            return None
        with self._lock:
            if name not in self.cards:
                try:
                    self.cards[name] = GenaiPriceBook().card(provider, name, "standard")
                except UnknownPriceError:
                    self.cards[name] = None
            return self.cards[name]

    def _said(self, name: str) -> Any:
        model = self.model
        return None if model is None else dict(model._get_ls_params()).get(name)

    def _spent_unread(self, error: Exception) -> tuple[Usage | None, Decimal]:
        """What an answer cost that could not be parsed, and was paid for all the same."""
        answer = _paid_answer(error)
        if answer is None or answer.usage is None:
            return None, Decimal(0)
        card = self.card(answer.model or None)
        return answer.usage, card.cost_usd(answer.usage) if card is not None else Decimal(0)

    def _spent(self, used: UsageMetadataCallbackHandler) -> tuple[Usage | None, Decimal]:
        total, cost = Usage(), Decimal(0)
        for model, said in used.usage_metadata.items():
            details = said.get("input_token_details") or {}
            usage = Usage(
                said["input_tokens"],
                said["output_tokens"],
                details.get("cache_read") or 0,
                details.get("cache_creation") or 0,
                (said.get("output_token_details") or {}).get("reasoning") or 0,
            )
            card = self.card(model)
            total += usage
            cost += card.cost_usd(usage) if card is not None else Decimal(0)
        return (total if used.usage_metadata else None), cost


def _paid_answer(error: Exception) -> Answer | None:
    """The answer of OpenAI that a model of LangChain could not parse, which it hands on so."""
    body = getattr(getattr(error, "response", None), "content", None)
    if not isinstance(body, bytes) or getattr(error, "status_code", None) is not None:
        return None
    found = (decode_body(endpoint, body) for endpoint in (CHAT, RESPONSES))
    return next((each for each in found if isinstance(each, Answer)), None)


def _models(chain: Any) -> Iterator[BaseChatModel]:
    if isinstance(chain, BaseChatModel):
        yield chain
    elif isinstance(chain, RunnableBinding):
        yield from _models(chain.bound)
    elif isinstance(chain, RunnableSequence):
        for step in chain.steps:
            yield from _models(step)
    elif isinstance(chain, RunnableParallel):
        for step in chain.steps__.values():
            yield from _models(step)


def _cells(table: Any, name: str) -> Any:
    column = table[name]
    return getattr(column, "array", column)  # by place, whatever the index of a pandas table


def _cell(column: Any, number: int) -> Any:
    value = None if column is None else column[number]
    is_missing = value is None or type(value).__name__ == "NAType"
    return None if is_missing or (isinstance(value, float) and value != value) else value
