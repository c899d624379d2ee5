"""What a batch is told besides its jobs and their route: limits, files, providers, prices."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel

from batchata.core.budget import checked_usd
from batchata.core.config import (
    LEVELS,
    OnChanged,
    ResultFormat,
    Reuse,
    RunConfig,
    check_mapping,
    checked_choice,
    checked_flag,
)
from batchata.core.errors import ValidationError
from batchata.core.job import Job, check_number
from batchata.core.usage import rates_from_mapping
from batchata.providers.control import ProviderSettings
from batchata.providers.registry import check_model, check_settings, provider_names
from batchata.sdk.route_settings import RouteSettings, seconds_of

#: the fields of a job that are ours; every other parameter goes to the vendor
JOB_FIELDS = frozenset(Job.__dataclass_fields__) - {"id", "params"}


class Settings(RouteSettings):
    """The settings half of `Batch`: each call is checked at once and returns the batch."""

    def __init__(
        self,
        results_dir: str | Path | None = None,
        max_parallel_batches: int = 10,
        items_per_batch: int | None = 10,
        raw_files: bool | None = None,
        *,
        result_format: ResultFormat = "json",
        dedupe: bool = False,
    ) -> None:
        checked_choice("result_format", result_format, ("json", "jsonl", "parquet"))
        folder = _path("results_dir", results_dir, "./out")
        self.config = RunConfig(
            results_dir=folder,
            max_parallel_batches=max_parallel_batches,
            items_per_batch=items_per_batch,
            raw_files=folder is not None
            if raw_files is None
            else checked_flag("raw_files", raw_files),
            result_format=result_format,
            dedupe=checked_flag("dedupe", dedupe),
        )
        self.providers: dict[str, ProviderSettings] = {}
        self._models: set[str] = set()

    def set_state(
        self,
        file: str | Path | None = None,
        reuse_state: bool = True,
        *,
        on_changed: OnChanged = "error",
    ) -> Self:
        """Keep the run's state in `file`; with `reuse_state` it continues an earlier run.

        `on_changed="keep"` keeps the old answer of a job whose id now comes with another question.
        """
        checked_choice("on_changed", on_changed, ("error", "keep"))
        return self._set(
            state_file=_path("the state file", file, "./state.db"),
            reuse_state=checked_flag("reuse_state", reuse_state),
            on_changed=on_changed,
        )

    def set_cache(self, file: str | Path, *, reuse: Reuse = "strict") -> Self:
        """Keep answers in `file` beyond this run, and reuse those that are already in it.

        `reuse` says which questions count as the same: those with the same request ("strict"), the
        same model, messages and schema ("ignore_params"), the same model, schema and last message
        ("ignore_prompt"), or none ("fresh": all are asked, and new answers are kept). Truncated,
        refused and invalid answers are never kept.
        """
        checked_choice("reuse", reuse, ("strict", "ignore_params", "ignore_prompt", "fresh"))
        return self._set(cache_file=_path("the cache file", file, "./cache.db"), cache_reuse=reuse)

    def set_event_log(
        self,
        where: str | os.PathLike[str],
        *,
        on_failure: Literal["continue", "stop"] = "continue",
        spans: bool | Literal["content"] = False,
    ) -> Self:
        """Log every call, answer and batch as Parquet in a folder, `s3://…` or an fsspec address.

        Events that cannot be written there are kept on this machine and tried again; with
        `on_failure="stop"` the run then sends nothing more. `read_events(where)` reads the log.
        `spans` also makes OpenTelemetry spans of it, and "content" puts prompts and answers in.
        """
        checked_choice("on_failure", on_failure, ("continue", "stop"))
        text = str(where)
        if not isinstance(where, (str, os.PathLike)) or not text.strip():
            raise ValidationError(
                f"the event log is {where!r}, not a place", hint="write set_event_log('./logs')"
            )
        if spans not in (False, True, "content"):
            raise ValidationError(f"spans is {spans!r}", hint='spans is False, True or "content"')
        return self._set(
            event_log=text, event_log_stops=on_failure == "stop", event_log_spans=spans
        )

    def set_default_params(self, **params: Any) -> Self:
        """Set parameters of jobs that do not give their own: `model`, `max_tokens`, `system`, …"""
        for name in ("messages", "file", "files", "prompt", "id"):
            if name in params:
                raise ValidationError(
                    f"{name!r} cannot be a default", hint=f"give {name} to add_job()"
                )
        merged = {**self.config.default_params, **params}
        check_params(merged)
        if merged.get("model") is not None:
            self._check_model(merged["model"])
        return self._set(default_params=merged)

    def set_provider(
        self,
        name: str,
        *,
        client: Any = None,
        api_key: str | None = None,
        base_url: str | None = None,
        **options: Any,
    ) -> Self:
        """Say how to reach a provider: by a configured SDK client of your own, or key and base URL.

        Servers that speak OpenAI's protocol have names of their own, such as "vllm" or "groq";
        "compatible" is any other. `timeout_seconds=` is how long a vendor may stay silent in one
        call.
        """
        if name not in provider_names():
            raise ValidationError(
                f"there is no provider {name!r}",
                hint=f"installed: {', '.join(sorted(provider_names()))}",
            )
        settings = ProviderSettings(
            client=client, api_key=api_key, base_url=base_url, options=options
        )
        check_settings(name, settings)
        self.providers[name] = settings
        return self

    def add_cost_limit(self, usd: Decimal | float) -> Self:
        """Never spend more than `usd` USD, all runs of the state file together."""
        if checked_usd(usd) <= 0:
            raise ValidationError(
                f"Cost limit must be positive, not {usd!r}", hint="write add_cost_limit(usd=5)"
            )
        return self._set(cost_limit_usd=checked_usd(usd))

    def add_time_limit(
        self,
        seconds: float | None = None,
        minutes: float | None = None,
        hours: float | None = None,
    ) -> Self:
        """Send nothing new after this time; seconds, minutes and hours are added together."""
        return self._set(time_limit_seconds=seconds_of(seconds, minutes, hours))

    def raw_files(self, enabled: bool = True) -> Self:
        """Choose whether the results folder keeps the vendors' request and response files."""
        return self._set(raw_files=checked_flag("raw_files", enabled))

    def set_verbosity(self, level: str) -> Self:
        """Set the level of the `batchata` logger during the run: debug, info, warn or error."""
        name = str(level).lower()
        if name not in LEVELS:
            raise ValidationError(
                f"verbosity is {level!r}", hint="use 'debug', 'info', 'warn' or 'error'"
            )
        return self._set(verbosity=name)

    def set_prices(
        self, prices: Mapping[str, Mapping[str, Any]] | None = None, *, allow_unpriced: bool = False
    ) -> Self:
        """Set prices of your own by model, in USD per million tokens, over the packaged ones.

        `allow_unpriced` counts a model without any price as free.
        """
        example = '{"input": 0.10, "output": 0.50} (USD per million tokens)'
        if prices is not None:
            check_mapping("prices", prices, f'{{"my-model": {example}}}')
        for name, rates in (prices or {}).items():
            check_mapping(f"the price of {name!r}", rates, example)
            rates_from_mapping(name, rates)
        merged = {**self.config.prices, **(prices or {})}
        is_lenient = checked_flag("allow_unpriced", allow_unpriced)
        return self._set(prices=merged, allow_unpriced=is_lenient)

    def _check_model(self, model: Any) -> None:
        if isinstance(model, str) and model in self._models:
            return
        check_model(model)
        self._models.add(model)


def _path(what: str, value: Any, example: str) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, (str, Path)) or not str(value).strip():
        raise ValidationError(f"{what} is {value!r}, not a path", hint=f"write {example!r}")
    return Path(value)


def check_params(values: Mapping[str, Any]) -> None:
    """Raise ValidationError for a parameter of ours that cannot be used."""
    check_number("temperature", values.get("temperature"), least=0, most=2)
    check_number("max_tokens", values.get("max_tokens"), least=1, whole=True)
    model = values.get("response_model")
    if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ValidationError(
            f"response_model is {model!r}, not a pydantic model class",
            hint="class Invoice(BaseModel): ...; response_model=Invoice",
        )
    if model is not None and values.get("response_schema") is not None:
        raise ValidationError(
            "response_model and response_schema were both given", hint="give one of them"
        )
    for name, value in values.items():
        if name not in JOB_FIELDS and name not in ("id", "model") and callable(value):
            raise ValidationError(
                f"parameter {name!r} is a {type(value).__name__}, which cannot be sent",
                hint="parameters are text, numbers, lists and mappings",
            )
