"""Settings of a batch: each call is checked at once, and says what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchata import Batch
from batchata.core.errors import ValidationError
from batchata.core.result import Reason

GOOD: dict[str, tuple[Callable[[Batch], Any], dict[str, Any]]] = {
    "state": (
        lambda batch: batch.set_state("a.db", reuse_state=False, on_changed="keep"),
        {"state_file": Path("a.db"), "reuse_state": False, "on_changed": "keep"},
    ),
    "no state": (lambda batch: batch.set_state(), {"state_file": None, "reuse_state": True}),
    "cost limit": (
        lambda batch: batch.add_cost_limit(0.01),
        {"cost_limit_usd": Decimal("0.01")},
    ),
    "cost limit as decimal": (
        lambda batch: batch.add_cost_limit(usd=Decimal("3")),
        {"cost_limit_usd": Decimal(3)},
    ),
    "time limit": (
        lambda batch: batch.add_time_limit(seconds=1, minutes=2, hours=3),
        {"time_limit_seconds": 10_921.0},
    ),
    "raw files off": (lambda batch: batch.raw_files(False), {"raw_files": False}),
    "verbosity": (lambda batch: batch.set_verbosity("WARN"), {"verbosity": "warn"}),
    "queue": (lambda batch: batch.set_queue_limits({"m": 5}), {"queue_tokens": {"m": 5}}),
    "retries": (
        lambda batch: batch.set_retries(2, retry_on=["truncated", "refused"], settle_seconds=0),
        {
            "max_attempts": 2,
            "retry_on": frozenset({Reason.TRUNCATED, Reason.REFUSED}),
            "settle_seconds": 0,
        },
    ),
    "stop": (
        lambda batch: batch.set_stop("cancel", on_unresolved="ask"),
        {"on_stop": "cancel", "on_unresolved": "ask"},
    ),
    "polling": (lambda batch: batch.set_polling(2), {"poll_factor": 2.0}),
    "unpriced": (lambda batch: batch.set_prices(allow_unpriced=True), {"allow_unpriced": True}),
}


@pytest.mark.parametrize(("call", "fields"), GOOD.values(), ids=GOOD)
def test_a_setting_is_in_the_config_and_the_call_can_be_chained(
    call: Callable[[Batch], Any], fields: dict[str, Any]
) -> None:
    batch = Batch()

    chained = call(batch)

    assert chained is batch
    assert {name: getattr(batch.config, name) for name in fields} == fields


BAD: dict[str, tuple[Callable[[Batch], Any], str]] = {
    "cost limit of nothing": (lambda batch: batch.add_cost_limit(0), "positive"),
    "negative cost limit": (lambda batch: batch.add_cost_limit(-1), "zero or more"),
    "cost limit as text": (lambda batch: batch.add_cost_limit("5"), "amount"),
    "cost limit as nan": (lambda batch: batch.add_cost_limit(float("nan")), "amount"),
    "cost limit as bool": (lambda batch: batch.add_cost_limit(True), "amount"),
    "no time limit": (lambda batch: batch.add_time_limit(), "positive"),
    "negative time": (lambda batch: batch.add_time_limit(hours=-1), "hours"),
    "time as text": (lambda batch: batch.add_time_limit(seconds="9"), "seconds"),
    "verbosity": (lambda batch: batch.set_verbosity("loud"), "loud"),
    "queue of nothing": (lambda batch: batch.set_queue_limits({"m": 0}), "'m'"),
    "no attempts": (lambda batch: batch.set_retries(0), "max_attempts"),
    "half an attempt": (lambda batch: batch.set_retries(1.5), "whole"),
    "retry on everything": (lambda batch: batch.set_retries(retry_on="truncated"), "list"),
    "retry on the unpaid": (lambda batch: batch.set_retries(retry_on=["expired"]), "expired"),
    "settling backwards": (lambda batch: batch.set_retries(settle_seconds=-1), "settle_seconds"),
    "stop": (lambda batch: batch.set_stop("later"), "later"),
    "unresolved": (lambda batch: batch.set_stop(on_unresolved="pray"), "pray"),
    "changed": (lambda batch: batch.set_state("a", on_changed="x"), "on_changed"),
    "polling": (lambda batch: batch.set_polling(-1), "factor"),
    "state as number": (lambda batch: batch.set_state(5), "not a path"),
    "empty state": (lambda batch: batch.set_state(" "), "not a path"),
    "default id": (lambda batch: batch.set_default_params(id="a"), "'id'"),
    "default prompt": (lambda batch: batch.set_default_params(prompt="a"), "'prompt'"),
    "default model": (lambda batch: batch.set_default_params(model="odd"), "odd"),
    "default temperature": (lambda batch: batch.set_default_params(temperature=9), "between"),
    "provider": (lambda batch: batch.set_provider("nobody"), "nobody"),
    "price without input": (lambda batch: batch.set_prices({"m": {"output": 1}}), "input"),
    "price of a strange kind": (lambda batch: batch.set_prices({"m": {"in": 1}}), "'in'"),
    "price as text": (lambda batch: batch.set_prices({"m": {"input": "dear"}}), "dear"),
    "negative price": (lambda batch: batch.set_prices({"m": {"input": -1}}), "zero or more"),
    "results format": (lambda batch: Batch(result_format="xml"), "xml"),
    "no parallel batches": (lambda batch: Batch(max_parallel_batches=0), "max_parallel"),
    "empty batches": (lambda batch: Batch(items_per_batch=0), "items_per_batch"),
    "results as number": (lambda batch: Batch(5), "not a path"),
}


@pytest.mark.parametrize(("call", "says"), BAD.values(), ids=BAD)
def test_a_setting_that_cannot_be_used_is_refused_at_once_and_changes_nothing(
    call: Callable[[Batch], Any], says: str
) -> None:
    batch = Batch()
    before = batch.config

    with pytest.raises(ValidationError) as caught:
        call(batch)

    assert says in str(caught.value)
    assert batch.config == before


def test_every_refusal_says_what_to_write() -> None:
    silent = []
    for name, (call, _) in BAD.items():
        try:
            call(Batch())
        except ValidationError as error:
            silent += [] if error.hint else [name]

    assert silent == []


def test_raw_files_are_on_where_there_is_a_folder_for_them() -> None:
    assert Batch("./out").config.raw_files
    assert not Batch().config.raw_files
    assert not Batch("./out", raw_files=False).config.raw_files


def test_prices_and_default_params_add_up() -> None:
    batch = Batch().set_prices({"a": {"input": 1}}).set_prices({"b": {"input": 2}})
    batch.set_default_params(seed=1).set_default_params(top_p=0.5, seed=2)

    assert set(batch.config.prices) == {"a", "b"}
    assert batch.config.default_params == {"seed": 2, "top_p": 0.5}


def test_a_configs_values_do_not_change_with_the_callers() -> None:
    limits, prices = {"m": 5}, {"m": {"input": 1}}
    batch = Batch().set_queue_limits(limits).set_prices(prices)

    limits["m"], prices["n"] = 0, {}

    assert batch.config.queue_tokens == {"m": 5}
    assert set(batch.config.prices) == {"m"}


def test_a_key_is_not_shown() -> None:
    batch = Batch().set_provider("openai", api_key="sk-secret")

    assert "sk-secret" not in repr(batch.providers)
