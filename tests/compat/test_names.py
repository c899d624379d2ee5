"""Scripts for earlier releases import what they always imported."""

from __future__ import annotations

import inspect
import logging
from importlib import import_module
from pathlib import Path
from typing import Optional

import pytest
from pydantic import BaseModel

NAMES = {
    "batchata": "Batch BatchRun Job JobResult Citation BatchataError CostLimitExceededError "
    "ProviderError ProviderNotFoundError ValidationError",
    "batchata.core": "Batch BatchParams BatchRun Job JobResult",
    "batchata.providers": "Provider ModelConfig get_provider",
    "batchata.exceptions": "BatchataError ValidationError ProviderError ProviderNotFoundError "
    "ModelNotSupportedError BatchSubmissionError CostLimitExceededError StateError ParseError",
    "batchata.types": "Citation Message MessageContent MessageRole",
    "batchata.utils": "CostTracker to_dict StateManager get_logger set_log_level create_pdf "
    "RichBatchProgressDisplay is_textual_pdf estimate_pdf_tokens token_count_simple "
    "validate_flat_model",
    "batchata.utils.pdf": "create_pdf is_textual_pdf extract_text_from_pdf get_pdf_info "
    "estimate_pdf_tokens",
    "batchata.utils.llm": "token_count_simple",
    "batchata.utils.validation": "validate_flat_model",
    "batchata.utils.state": "StateManager BatchState",
}
PAIRS = [(module, name) for module, names in NAMES.items() for name in names.split()]


@pytest.mark.parametrize(("module", "name"), PAIRS, ids=[f"{m}.{n}" for m, n in PAIRS])
def test_the_name_is_there(module: str, name: str) -> None:
    assert getattr(import_module(module), name) is not None


@pytest.mark.parametrize("module", ["batchata.utils", "batchata.core", "batchata.providers"])
def test_other_names_are_missing_in_the_usual_way(module: str) -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = import_module(module).nonsense


def test_errors_stand_in_the_known_tree() -> None:
    from batchata import exceptions as errors

    known = [name for name in errors.__all__ if name != "BatchataError"]

    assert all(issubclass(getattr(errors, name), errors.BatchataError) for name in known)
    assert issubclass(errors.ProviderNotFoundError, errors.ProviderError)
    assert issubclass(errors.BatchSubmissionError, errors.ProviderError)
    assert issubclass(errors.ValidationError, ValueError)


SIGNATURES = {
    "Batch": "results_dir max_parallel_batches items_per_batch raw_files",
    "Batch.set_state": "self file reuse_state",
    "Batch.add_cost_limit": "self usd",
    "Batch.add_time_limit": "self seconds minutes hours",
    "Batch.raw_files": "self enabled",
    "Batch.set_verbosity": "self level",
    "Batch.add_job": "self messages file prompt model temperature max_tokens response_model "
    "enable_citations",
    "Batch.run": "self on_progress progress_interval print_status dry_run",
    "BatchRun": "config jobs",
    "BatchRun.set_on_progress": "self callback interval",
    "BatchRun.status": "self print_status",
    "Job": "id model messages file prompt temperature max_tokens response_model enable_citations",
    "JobResult": "job_id raw_response parsed_response citations citation_mappings input_tokens "
    "output_tokens cost_usd error batch_id",
    "JobResult.save_to_json": "self filepath indent",
    "Citation": "text source page metadata confidence match_reason",
    "StateManager": "state_file",
    "CostTracker": "limit_usd",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_keep_their_names_and_places(name: str) -> None:
    owner, _, method = name.partition(".")
    thing = getattr(import_module("batchata"), owner)
    expected = SIGNATURES[name].split()

    found = list(inspect.signature(getattr(thing, method) if method else thing).parameters)

    assert found[: len(expected)] == expected


def test_what_a_batch_starts_with() -> None:
    from batchata import Batch

    config = Batch("out").config

    assert (config.max_parallel_batches, config.items_per_batch, config.raw_files) == (10, 10, True)


@pytest.mark.parametrize(
    ("text", "tokens"), [("hi", 16), ("a" * 3000, 1060), ("字" * 200, 430), ("😀" * 100, 325)]
)
def test_tokens_are_counted_as_before(text: str, tokens: int) -> None:
    from batchata.utils import token_count_simple

    assert token_count_simple(text) == tokens


def test_pdf_helpers(tmp_path: Path) -> None:
    from batchata import ValidationError
    from batchata.utils import create_pdf, estimate_pdf_tokens, is_textual_pdf

    path = tmp_path / "a.pdf"
    path.write_bytes(create_pdf(["a page of text that is long enough"] * 3))

    assert is_textual_pdf(path) == 1.0
    assert estimate_pdf_tokens(path, prompt="hi", tokens_per_page=1000) == 3116
    with pytest.raises(ValidationError, match=r"missing\.pdf"):  # once this was zero tokens
        estimate_pdf_tokens(tmp_path / "missing.pdf")


class Inner(BaseModel):
    """A model."""

    n: int


class Flat(BaseModel):
    """A flat model."""

    a: str
    b: list[int] | None = None


class Deep(BaseModel):
    """Three ways to hold a model."""

    plain: int
    inner: Optional[dict[str, list[Inner]]] = None  # noqa: UP045 - as people write it


def test_flat_models_are_told_from_nested_ones() -> None:
    from batchata.utils import validate_flat_model

    validate_flat_model(Flat)
    with pytest.raises(ValueError, match="'inner' of Deep holds Inner"):
        validate_flat_model(Deep)


def test_logging_helpers_leave_handlers_alone() -> None:
    from batchata import ValidationError
    from batchata.utils import get_logger, set_log_level

    logger = logging.getLogger("batchata")
    level, handlers = logger.level, list(logger.handlers)
    try:
        set_log_level("debug")

        assert logger.level == logging.DEBUG
        assert get_logger("mine").name == "batchata.mine"
        assert get_logger("batchata.engine") is logging.getLogger("batchata.engine")
        assert logger.handlers == handlers
        with pytest.raises(ValidationError):
            set_log_level("loud")
    finally:
        logger.setLevel(level)


def test_to_dict_makes_plain_values() -> None:
    from batchata import Job
    from batchata.providers import ModelConfig
    from batchata.utils import to_dict

    found = to_dict({"job": Job("a", "gpt-6-luna", prompt="x"), "list": [Inner(n=1)]})

    assert found["job"]["prompt"] == "x"
    assert found["list"] == [{"n": 1}]
    assert to_dict(ModelConfig("m"))["name"] == "m"
