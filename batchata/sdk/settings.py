"""What a batch is told besides its jobs: limits, files, providers, prices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel

from batchata.core.budget import checked_usd
from batchata.core.config import (
    LEVELS,
    OnChanged,
    OnStop,
    OnUnresolved,
    ResultFormat,
    Reuse,
    RouteName,
    RunConfig,
    check_callable,
    check_mapping,
    checked_choice,
    checked_flag,
    checked_reasons,
)
from batchata.core.errors import ValidationError
from batchata.core.job import Job, check_number
from batchata.core.pacing import PaceCaps
from batchata.core.pilot import PilotReport, PilotSize
from batchata.core.upload import UploadMode
from batchata.core.usage import rates_from_mapping
from batchata.providers.control import ProviderSettings
from batchata.providers.registry import check_model, check_settings, provider_names

#: the fields of a job that are ours; every other parameter goes to the vendor
JOB_FIELDS = frozenset(Job.__dataclass_fields__) - {"id", "params"}


class RouteSettings:
    """How jobs reach their vendors, and what happens when something is in the way."""

    config: RunConfig
    decide: Callable[[PilotReport], bool] | None = None

    def set_queue_limits(self, tokens_by_model: Mapping[str, int]) -> Self:
        """Set your account's limits of enqueued tokens ("Batch queue limit" on model pages)."""
        check_mapping("the queue limits", tokens_by_model, '{"gpt-6-luna": 5_000_000}')
        for model, tokens in tokens_by_model.items():
            check_number(f"the queue limit of {model!r}", tokens, least=1, whole=True)
        return self._set(queue_tokens=dict(tokens_by_model))

    def set_retries(
        self,
        max_attempts: int = 3,
        *,
        retry_on: Iterable[str] = (),
        max_reasks: int = 2,
        settle_seconds: float = 60.0,
    ) -> Self:
        """Set how often a job is tried; `retry_on` adds paid failures such as "truncated".

        With "invalid_answer" in it, a job whose answer does not fit its schema is asked again with
        that answer and what was wrong with it: `max_reasks` times, and never beyond `max_attempts`.
        """
        check_number("max_attempts", max_attempts, least=1, most=100, whole=True)
        check_number("max_reasks", max_reasks, least=0, most=100, whole=True)
        check_number("settle_seconds", settle_seconds, least=0)
        reasons = checked_reasons(retry_on if isinstance(retry_on, str) else list(retry_on))
        return self._set(
            max_attempts=max_attempts,
            retry_on=reasons,
            max_reasks=max_reasks,
            settle_seconds=settle_seconds,
        )

    def set_stop(self, on_stop: OnStop = "detach", *, on_unresolved: OnUnresolved = "wait") -> Self:
        """Say what happens to batches in flight on a stop, and to batches that cannot be found."""
        checked_choice("on_stop", on_stop, ("detach", "cancel"))
        checked_choice("on_unresolved", on_unresolved, ("wait", "ask", "resubmit"))
        return self._set(on_stop=on_stop, on_unresolved=on_unresolved)

    def set_route(
        self,
        route: RouteName = "batch",
        *,
        concurrency: int | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
    ) -> Self:
        """Choose how jobs travel: "batch" at half price within a day, or "live" at once.

        "background" starts OpenAI responses at live prices and fetches each when it is done: no
        connection is held open, and a stopped run goes on fetching when it is started again.
        "auto" sends batches and, when the time of `finish_within()` is over, cancels what is not
        back and finishes it live; its budget is reserved at live prices.
        The live route obeys the rate limits that vendors report in their answers; `concurrency`
        (calls in flight, or responses in the background), `rpm` (requests a minute) and `tpm`
        (tokens a minute) apply to each model and can only lower them.
        """
        checked_choice("route", route, ("batch", "live", "background", "auto"))
        for name, value in (("concurrency", concurrency), ("rpm", rpm), ("tpm", tpm)):
            check_number(name, value, least=1, whole=True)
        caps = PaceCaps(concurrency=concurrency, requests_per_minute=rpm, tokens_per_minute=tpm)
        return self._set(route=route, pace=caps)

    def finish_within(
        self,
        seconds: float | None = None,
        minutes: float | None = None,
        hours: float | None = None,
    ) -> Self:
        """Send batches first; what is not back within this time is cancelled and finished live.

        The time begins with the oldest batch in flight, even if another process sent it.
        """
        return self._set(route="auto", finish_within_seconds=_seconds(seconds, minutes, hours))

    def add_pilot(
        self,
        share: float | None = None,
        *,
        jobs: int | None = None,
        decide: Callable[[PilotReport], bool] | None = None,
    ) -> Self:
        """Send a sample live before the others: a `share` of the jobs, or a number of `jobs`.

        `decide(report)` sees answers, failures and the expected bill with its margin of error, and
        returns whether to go on; without it the run goes on.
        """
        if (share is None) == (jobs is None):
            given = "both" if share is not None else "neither"
            raise ValidationError(
                f"a pilot needs a share or a number of jobs: {given} was given",
                hint="write add_pilot(share=0.01) or add_pilot(jobs=20)",
            )
        check_callable("decide", decide)
        check_number("share", share, least=0, most=1)
        check_number("jobs", jobs, least=1, whole=True)
        self.decide = decide
        return self._set(pilot=PilotSize(share=share, jobs=jobs))

    def set_uploads(self, mode: UploadMode = "auto") -> Self:
        """Choose how files reach the vendor: inside the requests, or uploaded once and named by id.

        "auto" uploads a file that would add a megabyte to the requests, counted over all jobs that
        ask about it, and the files of a request that would be too large with them; "always"
        uploads every file that the vendor takes by id, "never" none.
        Uploaded files are deleted when the run ends; those that cannot be deleted expire.
        """
        checked_choice("mode", mode, ("auto", "always", "never"))
        return self._set(uploads=mode)

    def set_polling(self, factor: float = 1.0) -> Self:
        """Stretch (above 1) or shorten (below 1) the vendors' own polling intervals.

        Below 1 is for sandboxes and tests: it also shortens the waits that vendors ask for.
        """
        check_number("factor", factor, least=0)
        return self._set(poll_factor=float(factor))

    def _set(self, **changes: Any) -> Self:
        self.config = replace(self.config, **changes)
        return self


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

    def add_cost_limit(self, usd: float) -> Self:
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
        return self._set(time_limit_seconds=_seconds(seconds, minutes, hours))

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


def _seconds(seconds: float | None, minutes: float | None, hours: float | None) -> float:
    for name, value in (("seconds", seconds), ("minutes", minutes), ("hours", hours)):
        check_number(name, value, least=0)
    total = (seconds or 0) + (minutes or 0) * 60 + (hours or 0) * 3600
    if total <= 0:
        raise ValidationError(f"Time limit must be positive, not {total:g} s", hint="write hours=2")
    return float(total)


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
