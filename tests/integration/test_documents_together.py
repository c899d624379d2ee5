"""Uploads, quotes looked up, and asking again: each with the others, at both vendors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from run_lab import CLAUDE, GPT, Lab, all_of, cost_of
from upload_lab import calls, left_over

from batchata import Batch, JobResult
from batchata.documents.pdf import create_pdf
from batchata.gateway import HttpFault, Scenario

AGAIN = "Your answer cannot be used"
BOTH = pytest.mark.parametrize("model", [GPT, CLAUDE])
ROUTES = pytest.mark.parametrize("route", ["batch", "live"])


class Item(BaseModel):
    name: str
    price: float


class Invoice(BaseModel):
    number: str
    items: list[Item]


GOOD = {
    "answer": {"number": "INV-7", "items": [{"name": "Gadget", "price": 3.25}]},
    "quotes": {"number": "Invoice INV-7", "items": [{"name": "Gadget", "price": "costs 3.25"}]},
}
BAD = {**GOOD, "answer": {"number": "INV-7", "items": [{"name": "Gadget", "price": "dear"}]}}
WHOLE = {"number": (True, 1), "items[0].name": (True, 2), "items[0].price": (True, 2)}


def play(lab: Lab, first: Any = GOOD, second: Any = GOOD, **more: Any) -> None:
    """The first answer to a question, and the one after a complaint."""
    said = {AGAIN: json.dumps(second), "Read it": json.dumps(first)}
    lab.play(scenario=Scenario(replies=said, **more))


def invoices(lab: Lab, model: str, route: Any, *, is_quoted: bool = True) -> Batch:
    """Two questions about one uploaded file; what does not fit is asked again."""
    path = lab.folder / "invoice.pdf"
    path.write_bytes(create_pdf(["Invoice INV-7", "Gadget costs 3.25 USD."]))
    batch = lab.batch().set_uploads("always").set_route(route)
    batch.set_retries(settle_seconds=0.02, retry_on=["invalid_answer"])
    batch.set_default_params(
        model=model, max_tokens=300, response_model=Invoice, verify_quotes=is_quoted
    )
    for number in range(2):
        batch.add_job(file=path, prompt=f"Read it, {number}", id=f"q{number}")
    return batch


def pages_of(result: JobResult) -> dict[str, tuple[bool | None, int | None]]:
    mappings = result.citation_mappings or {}
    return {path: (each.is_found, each.page) for path, (each,) in mappings.items()}


@ROUTES
@BOTH
def test_quotes_are_looked_up_in_files_that_went_by_id(lab: Lab, model: str, route: str) -> None:
    play(lab)

    found = all_of(invoices(lab, model, route).run())

    assert [pages_of(each) for each in found.values()] == [WHOLE, WHOLE]
    assert left_over(lab) == []


@ROUTES
@BOTH
def test_a_question_asked_again_names_the_upload_of_the_first(
    lab: Lab, model: str, route: str
) -> None:
    play(lab, first=BAD["answer"], second=GOOD["answer"])
    own = 2 if (model, route) == (GPT, "batch") else 0  # files of the two batches

    found = all_of(invoices(lab, model, route, is_quoted=False).run())

    assert [each.attempts for each in found.values()] == [2, 2]
    assert {each.error for each in found.values()} == {None}
    assert calls(lab, "files.create") == 1 + own
    assert left_over(lab) == []


@ROUTES
@BOTH
def test_an_answer_given_again_has_its_quotes_looked_up(lab: Lab, model: str, route: str) -> None:
    play(lab, first=BAD)

    found = all_of(invoices(lab, model, route).run())

    assert [pages_of(each) for each in found.values()] == [WHOLE, WHOLE]
    assert [each.attempts for each in found.values()] == [2, 2]
    assert left_over(lab) == []
    if route == "batch":
        assert cost_of(found.values()) == lab.billed_usd


@BOTH
def test_an_answer_that_never_fits_has_no_quotes_and_leaves_no_file(lab: Lab, model: str) -> None:
    play(lab, first=BAD, second=BAD)

    found = all_of(invoices(lab, model, "batch").run())

    assert {each.reason for each in found.values()} == {"invalid_answer"}
    assert {each.attempts for each in found.values()} == {3}
    assert [each.citation_mappings for each in found.values()] == [None, None]
    assert left_over(lab) == []


@BOTH
def test_retried_jobs_upload_their_file_again_and_have_their_quotes(lab: Lab, model: str) -> None:
    play(lab, first=BAD, second=BAD)
    run = invoices(lab, model, "live").run()
    before = calls(lab, "files.create")
    play(lab)

    found = all_of(run.retry_failed())

    assert [pages_of(each) for each in found.values()] == [WHOLE, WHOLE]
    assert calls(lab, "files.create") == before + 1
    assert left_over(lab) == []


@BOTH
def test_all_of_it_goes_on_after_a_run_that_was_cut_off(lab: Lab, model: str) -> None:
    no = HttpFault(action="status", route="*.batches.create", skip=1, status=401)
    play(lab, first=BAD, http=(no,))
    with pytest.raises(Exception, match="401"):
        invoices(lab, model, "batch").run()
    play(lab, first=BAD)

    found = all_of(invoices(lab, model, "batch").run())

    assert [pages_of(each) for each in found.values()] == [WHOLE, WHOLE]
    assert cost_of(found.values()) == lab.billed_usd
    assert left_over(lab) == []


class Part(BaseModel):
    name: str
    parts: list[Part] = []


@pytest.mark.parametrize("route", ["batch", "live"])
def test_a_model_that_contains_itself_comes_back_from_openai(lab: Lab, route: Any) -> None:
    tree = {"name": "car", "parts": [{"name": "wheel", "parts": [{"name": "tyre", "parts": []}]}]}
    lab.play(scenario=Scenario(replies={"Take it apart": json.dumps(tree)}))
    batch = lab.batch().set_route(route)
    batch.add_job(prompt="Take it apart", model=GPT, response_model=Part, id="a", max_tokens=90)

    found = all_of(batch.run())["a"]

    assert found.parsed_response == Part.model_validate(tree)


@pytest.mark.parametrize("route", ["batch", "live"])
def test_a_model_that_contains_itself_needs_the_tool_on_anthropic(lab: Lab, route: Any) -> None:
    batch = lab.batch().set_route(route)
    batch.set_default_params(model=CLAUDE, response_model=Part, max_tokens=2_000)
    batch.add_job(prompt="Take it apart", id="native")
    batch.add_job(prompt="Take it apart", id="tool", structured="tool")

    found = all_of(batch.run())

    assert found["native"].reason == "bad_input"
    assert "parts" in str(found["native"].error)
    assert 'structured="tool"' in str(found["native"].error)
    assert isinstance(found["tool"].parsed_response, Part), found["tool"].error


def test_a_bare_schema_whose_root_refers_to_itself_is_taken(lab: Lab, tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        },
        "required": ["name", "next"],
    }
    chain = {"name": "a", "next": {"name": "b", "next": None}}
    lab.play(scenario=Scenario(replies={"Follow it": json.dumps(chain)}))
    batch = lab.batch()
    for name, model, more in (
        ("gpt", GPT, "native"),
        ("tool", GPT, "tool"),
        ("claude", CLAUDE, "tool"),
    ):
        batch.add_job(
            prompt="Follow it" if more == "native" else "Walk",
            model=model,
            response_schema=schema,
            structured=more,  # type: ignore[arg-type]
            id=name,
            max_tokens=2_000,
        )

    found = all_of(batch.run())

    assert {each.error for each in found.values()} == {None}
    assert found["gpt"].parsed_response == chain
