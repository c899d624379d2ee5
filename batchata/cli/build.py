"""From the options of `run` and `estimate` to a Batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from batchata.cli.options import route_of
from batchata.cli.rows import read_jobs
from batchata.core.errors import ValidationError
from batchata.core.template import Template

if TYPE_CHECKING:
    from batchata.batch import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the options of `run` and `estimate` say, by their names."""

    file: Path
    model: str
    prompt: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    schema: Path | None = None
    id_column: str | None = None
    endpoint: str | None = None
    param: Sequence[str] | None = None
    limit_usd: float | None = None
    items_per_batch: int | None = None
    max_parallel: int = 10
    route: Literal["batch", "live", "background", "auto"] = "batch"
    finish_within: float | None = None
    concurrency: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    pilot: str | None = None
    dedupe: bool = False
    cache: Path | None = None
    prices: Path | None = None
    allow_unpriced: bool = False
    state: Path | None = None
    results: Path | None = None
    result_format: Literal["json", "jsonl", "parquet"] = "json"
    base_url: str | None = None
    poll_factor: float = 1.0

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Inputs:
        """From the options of a command; those that are for the command itself are left out."""
        known = {each.name: options[each.name] for each in fields(cls) if each.name in options}
        known["route"] = route_of(known["route"], live=options["live"])
        if "result_format" in known:
            known["result_format"] = known["result_format"].value
        return cls(**known)

    @property
    def results_dir(self) -> Path:
        """The results folder: beside you, never beside the rows' own folder."""
        return self.results or Path(f"{self.file.stem}-results")


def make_batch(inputs: Inputs) -> Batch:
    """A batch with its jobs still unread; ValidationError for what cannot be used."""
    from batchata.batch import Batch

    batch = Batch(
        inputs.results_dir,
        inputs.max_parallel,
        inputs.items_per_batch,
        result_format=inputs.result_format,
        dedupe=inputs.dedupe,
    )
    # without --state the run keeps its state in the results folder
    batch.set_state(inputs.state).set_polling(inputs.poll_factor)
    _set_way(batch, inputs)
    batch.set_default_params(model=inputs.model, **_params(inputs))
    prices = {} if inputs.prices is None else read_object(inputs.prices)
    batch.set_prices(prices, allow_unpriced=inputs.allow_unpriced)
    if inputs.limit_usd is not None:
        batch.add_cost_limit(inputs.limit_usd)
    if inputs.base_url is not None:
        batch.set_provider(_provider_of(inputs.model), base_url=inputs.base_url)
    prompt = None if inputs.prompt is None else Template(text_of(inputs.prompt))
    # a generator: a million rows are never held in memory
    return batch.add_jobs(read_jobs(inputs.file, prompt, inputs.id_column, inputs.model))


def _set_way(batch: Batch, inputs: Inputs) -> None:
    batch.set_route(inputs.route, concurrency=inputs.concurrency, rpm=inputs.rpm, tpm=inputs.tpm)
    if inputs.finish_within is not None:
        if inputs.route in ("live", "background"):
            raise ValidationError(
                f"--finish-within has no meaning for --route {inputs.route}",
                hint="leave one of them out: it says when batches are late",
            )
        batch.finish_within(hours=inputs.finish_within)
    if inputs.pilot is not None:
        batch.add_pilot(**_pilot(inputs.pilot))
    if inputs.cache is not None:
        batch.set_cache(inputs.cache)


def _pilot(text: str) -> dict[str, Any]:
    try:
        if text.endswith("%"):
            return {"share": float(text[:-1]) / 100}
        return {"jobs": int(text)}
    except ValueError:
        raise ValidationError(
            f"--pilot {text!r} is neither a number of jobs nor a percentage",
            hint="write --pilot 20 or --pilot 1%",
        ) from None


def _params(inputs: Inputs) -> dict[str, Any]:
    params = dict(param_of(each) for each in inputs.param or ())
    named = {
        "system": inputs.system,
        "max_tokens": inputs.max_tokens,
        "endpoint": inputs.endpoint,
        "response_schema": None if inputs.schema is None else read_object(inputs.schema),
    }
    return {**params, **{name: value for name, value in named.items() if value is not None}}


def param_of(text: str) -> tuple[str, Any]:
    """Name and value of a `--param`."""
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name.isidentifier():
        raise ValidationError(f"--param {text!r} is no NAME=VALUE", hint="write --param top_p=0.9")
    if name in ("model", "metadata", "response_model"):
        raise ValidationError(
            f"--param {name} cannot be given", hint="it has an option or a column of its own"
        )
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds; ValidationError when it holds none."""
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValidationError(f"{path} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValidationError(f"{path} holds a {type(value).__name__}, not a JSON object")
    return value


def text_of(prompt: str) -> str:
    """A prompt, read from its file where it says @FILE."""
    if not prompt.startswith("@"):
        return prompt
    try:
        return Path(prompt[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValidationError(
            f"the prompt cannot be read from {prompt[1:]!r}: {error}",
            hint="--prompt @FILE reads a template from FILE",
        ) from error


def _provider_of(model: str) -> str:
    from batchata.core.models import infer_provider
    from batchata.providers.registry import provider_names

    return infer_provider(model, provider_names())[0]
