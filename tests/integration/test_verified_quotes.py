"""`verify_quotes=True`: citations for every vendor, from quotes looked up in the documents."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from file_lab import png
from pydantic import BaseModel
from run_lab import CLAUDE, GPT, Lab, all_of

from batchata import Batch, FileUrl, Job, JobResult, StateManager
from batchata.core.errors import ValidationError
from batchata.documents import quoting
from batchata.documents.pdf import create_pdf
from batchata.gateway import HttpFault, Scenario

PAGES = ["Invoice INV-7\nfrom Acme Corp", "Widget costs 12.50 USD.\nGadget costs 3.25 USD."]


class Item(BaseModel):
    name: str
    price: float


class Invoice(BaseModel):
    number: str
    due: str | None = None
    items: list[Item]


ANSWER = {"number": "INV-7", "due": "May", "items": [{"name": "Gadget", "price": 3.25}]}
QUOTES = {
    "number": "invoice INV-7",
    "due": "due in May",
    "items": [{"name": "Gadget costs", "price": "Widget costs 12.50"}],
}
GIVEN = json.dumps({"answer": ANSWER, "quotes": QUOTES})


@pytest.fixture(autouse=True)
def _answers(lab: Lab) -> None:
    lab.play(scenario=Scenario(replies={"Read it": GIVEN}))


def invoices(lab: Lab, model: str = GPT, **job: Any) -> Batch:
    batch = lab.batch().set_default_params(model=model, max_tokens=500, verify_quotes=True)
    if not {"file", "files", "messages"} & set(job):
        job["file"] = lab.folder / "invoice.pdf"
        job["file"].write_bytes(create_pdf(PAGES))
    if "response_schema" not in job:
        job["response_model"] = Invoice
    return batch.add_job(id="a", prompt="Read it", **job)


def result_of(batch: Batch) -> JobResult:
    return all_of(batch.run())["a"]


def found_in(result: JobResult) -> dict[str, tuple[bool | None, int | None]]:
    mappings = result.citation_mappings or {}
    return {path: (each.is_found, each.page) for path, (each,) in mappings.items()}


WHOLE = {
    "number": (True, 1),
    "due": (False, None),
    "items[0].name": (True, 2),
    "items[0].price": (True, 2),
}


@pytest.mark.parametrize("route", ["batch", "live"])
@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_each_field_has_its_passage_on_every_vendor_and_route(
    lab: Lab, model: str, route: Any
) -> None:
    result = result_of(invoices(lab, model).set_route(route))

    assert result.parsed_response == Invoice.model_validate(ANSWER)
    assert found_in(result) == WHOLE
    assert [each.text for each in result.citations or ()] == [
        "Invoice INV-7",
        "Gadget costs",
        "Widget costs 12.50",
    ]


def test_a_passage_that_does_not_state_the_value_is_doubted(lab: Lab) -> None:
    mappings = result_of(invoices(lab)).citation_mappings or {}

    assert {path: each.confidence for path, (each,) in mappings.items()} == {
        "number": "high",
        "due": "low",
        "items[0].name": "high",
        "items[0].price": "low",
    }
    assert "does not state the value" in (mappings["items[0].price"][0].match_reason or "")


@pytest.mark.parametrize("job", [{"endpoint": "responses"}, {"structured": "tool"}])
def test_the_other_ways_to_ask_have_quotes_too(lab: Lab, job: dict[str, str]) -> None:
    play = {"Read it": GIVEN} if "endpoint" in job else {}
    lab.play(scenario=Scenario(replies=play))

    result = result_of(invoices(lab, **job))

    assert isinstance(result.parsed_response, Invoice)
    assert set(json.loads(result.raw_response or "")) == {"answer", "quotes"}


def test_a_bare_schema_gives_a_bare_answer(lab: Lab) -> None:
    result = result_of(invoices(lab, response_schema=Invoice.model_json_schema()))

    assert result.parsed_response == ANSWER
    assert found_in(result) == WHOLE


def test_the_same_is_read_back_by_another_process_and_from_json(lab: Lab) -> None:
    first = result_of(invoices(lab))

    again = result_of(invoices(lab))

    assert again == first
    assert JobResult.from_dict(first.to_dict(), Invoice) == first
    assert lab.ledger.billed_items == 1


def test_a_saved_state_keeps_the_mappings(lab: Lab) -> None:
    first = result_of(invoices(lab))
    manager = StateManager(lab.folder / "copy.db")

    manager.save(StateManager(lab.state_file).load())

    (copied,) = manager.load().results
    assert copied.citation_mappings == first.citation_mappings


def test_an_interrupted_run_looks_the_quotes_up_later(lab: Lab) -> None:
    fault = HttpFault(action="status", status=401, route="openai.batches.retrieve")
    lab.play(scenario=Scenario(replies={"Read it": GIVEN}, http=(fault,)))
    with pytest.raises(Exception, match="401"):
        invoices(lab).run()

    assert found_in(result_of(invoices(lab))) == WHOLE
    assert len(lab.ledger.batches) == 1


def test_what_only_the_vendor_has_is_not_checked(lab: Lab) -> None:
    away = FileUrl("https://example.com/a.pdf")

    result = result_of(invoices(lab, file=away, endpoint="responses"))

    assert result.is_success
    assert set(found_in(result).values()) == {(None, None)}
    (citation,) = (result.citation_mappings or {})["number"]
    assert citation.match_reason is not None
    assert citation.match_reason.startswith("quote not checked: ")
    assert result.citations is None


def test_a_file_that_is_gone_by_then_is_not_checked(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = quoting.QuoteFinder.find

    def vanishing(*args: Any) -> Any:
        (lab.folder / "invoice.pdf").unlink(missing_ok=True)
        return read(*args)

    monkeypatch.setattr(quoting.QuoteFinder, "find", vanishing)

    result = result_of(invoices(lab))

    assert result.is_success
    (citation,) = (result.citation_mappings or {})["number"]
    assert (citation.is_found, "cannot be read any more" in str(citation.match_reason)) == (
        None,
        True,
    )


def test_a_scan_is_asked_about_and_not_checked(lab: Lab) -> None:
    result = result_of(invoices(lab, file=("scan.pdf", create_pdf([""]))))

    assert result.is_success
    (citation,) = (result.citation_mappings or {})["number"]
    assert "no text layer" in (citation.match_reason or "")


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_picture_is_asked_about_and_not_checked(lab: Lab, model: str) -> None:
    result = result_of(invoices(lab, model, file=("bill.png", png())))

    assert result.is_success
    assert set(found_in(result).values()) == {(None, None)}
    (citation,) = (result.citation_mappings or {})["number"]
    assert "picture" in (citation.match_reason or "")


def test_a_prompt_without_documents_is_quoted_itself(lab: Lab) -> None:
    batch = lab.batch().set_default_params(model=GPT, max_tokens=500, verify_quotes=True)
    said = f"Read it: {' '.join(PAGES)}"

    result = result_of(batch.add_job(id="a", prompt=said, response_model=Invoice))

    assert found_in(result)["items[0].name"] == (True, None)
    assert {each.source for each in result.citations or ()} == {"prompt"}


def test_an_answer_without_the_quotes_asked_for_is_an_answer(lab: Lab) -> None:
    lab.play(scenario=Scenario(replies={"Read it": json.dumps(ANSWER)}))

    result = result_of(invoices(lab))

    assert result.parsed_response == Invoice.model_validate(ANSWER)
    assert result.citation_mappings is None


def test_a_misfit_names_the_field_as_the_model_has_it(lab: Lab) -> None:
    bad = {"answer": {**ANSWER, "items": [{"name": "x", "price": "dear"}]}, "quotes": QUOTES}
    lab.play(scenario=Scenario(replies={"Read it": json.dumps(bad)}))

    result = result_of(invoices(lab))

    assert (result.status, result.reason) == ("failed", "invalid_answer")
    assert "items[0].price" in (result.error or "")


def test_documents_are_read_beside_the_event_loop(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[asyncio.AbstractEventLoop | None] = []
    read = quoting.QuoteFinder.find

    def watched(*args: Any) -> Any:
        loops.append(asyncio._get_running_loop())
        return read(*args)

    monkeypatch.setattr(quoting.QuoteFinder, "find", watched)

    result_of(invoices(lab).set_route("live"))

    assert loops == [None, None], "once before the call is paid for, once after it"


@pytest.mark.parametrize(
    ("fields", "said"),
    [({}, "no fields"), ({"response_model": Invoice, "enable_citations": True}, "both")],
)
def test_a_job_that_cannot_have_quotes_says_so_at_once(fields: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Job("a", GPT, prompt="x", verify_quotes=True, **fields)


def test_jobs_with_and_without_quotes_are_other_questions(lab: Lab, tmp_path: Path) -> None:
    with_quotes = Job("", GPT, prompt="Read it", response_model=Invoice, verify_quotes=True)
    without = Job("", GPT, prompt="Read it", response_model=Invoice)

    run = lab.batch().add_jobs([with_quotes, without]).run()

    assert len(all_of(run)) == 2
    assert Job.from_dict(with_quotes.to_dict()).verify_quotes
    assert "verify_quotes" not in without.to_dict()
