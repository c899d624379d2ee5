"""A run that was started without a key: nothing left, so nothing of it may count as sent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest

from batchata import Batch, BatchRun
from batchata.documents.pdf import create_pdf
from batchata.exceptions import BatchataError, MissingKeyError, ValidationError
from batchata.gateway import Sandbox, Scenario

GPT = "gpt-6-luna"
CLAUDE = "claude-haiku-5-5"


@pytest.fixture
def _keyless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "COMPATIBLE_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def jobs(tmp_path: Path, model: str, route: Literal["batch", "live", "background"]) -> Batch:
    """The script."""
    batch = Batch(tmp_path / "out").set_route(route).set_polling(0.01).set_uploads("always")
    batch.config = replace(batch.config, items_per_batch=1)
    batch.set_prices({"own": {"input": 1, "output": 1}}).set_default_params(model=model)
    return batch.add_jobs(["One?", "Two?", "Three?"])


def started(batch: Batch) -> tuple[BatchRun, BatchataError]:
    """A run that ends with an error, and the error."""
    run = batch.start()
    with pytest.raises(BatchataError) as caught:
        run.wait(timeout=60)
    return run, caught.value


ROUTES = [
    (GPT, "batch"),
    (GPT, "live"),
    (GPT, "background"),
    (CLAUDE, "batch"),
    (CLAUDE, "live"),
]


@pytest.mark.usefixtures("_keyless")
@pytest.mark.parametrize(("model", "route"), ROUTES)
def test_without_a_key_nothing_counts_as_sent(
    model: str, route: Literal["batch", "live", "background"], tmp_path: Path
) -> None:
    run, error = started(jobs(tmp_path, model, route))

    assert isinstance(error, MissingKeyError)
    status = run.status()
    assert (status["pending"], status["active"], status["reserved_usd"]) == (3, 0, 0)


@pytest.mark.usefixtures("_keyless")
@pytest.mark.parametrize(("model", "route"), ROUTES)
def test_with_the_key_the_same_script_asks_everything_once(
    model: str, route: Literal["batch", "live", "background"], tmp_path: Path
) -> None:
    started(jobs(tmp_path, model, route))

    with Sandbox(Scenario()) as box:
        again = jobs(tmp_path, model, route)
        again.set_provider("openai", api_key="k", base_url=box.openai_base_url)
        again.set_provider("anthropic", api_key="k", base_url=box.anthropic_base_url)
        status = again.run().status()

        assert box.ledger.billed_items + len(box.ledger.live) == 3
    assert (status["completed"], status["possibly_billed_usd"]) == (3, Decimal(0))


@pytest.mark.usefixtures("_keyless")
def test_a_file_that_cannot_be_uploaded_without_a_key_is_told_as_the_missing_key(
    tmp_path: Path,
) -> None:
    batch = jobs(tmp_path, GPT, "live")
    batch.add_job(file=("a.pdf", create_pdf(["Page one"])), prompt="What is in it?")

    _, error = started(batch)

    assert isinstance(error, MissingKeyError)


@pytest.mark.usefixtures("_keyless")
def test_a_server_without_an_address_was_asked_nothing(tmp_path: Path) -> None:
    run, error = started(jobs(tmp_path, "compatible:own", "live"))

    assert isinstance(error, ValidationError)
    assert "no address" in error.message
    assert (run.status()["pending"], run.status()["reserved_usd"]) == (3, 0)
