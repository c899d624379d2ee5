"""Fields with the passages they rest on, from one call, over the real wire."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from batchata import Batch, JobResult
from batchata.documents.pdf import create_pdf
from batchata.gateway import Sandbox, Scenario

PAGE = "Invoice INV-7 from Acme Corp. Widget costs 12.50 USD. Gadget costs 3.25 USD."
LINES = """number: INV-7
vendor: Acme Corp
items[0].name: Widget
items[0].price: 12.50
items[1].name: Gadget
items[1].price: 3.25"""


class Item(BaseModel):
    name: str
    price: float


class Invoice(BaseModel):
    number: str
    vendor: str
    items: list[Item]


def asked(folder: Path, said: str, **params: object) -> JobResult:
    (folder / "invoice.pdf").write_bytes(create_pdf([PAGE]))
    with Sandbox(Scenario(replies={"Read it": said})) as box:
        batch = Batch(folder / "out").set_polling(0.01)
        batch.set_provider("anthropic", api_key="k", base_url=box.anthropic_base_url)
        batch.add_job(
            file=folder / "invoice.pdf",
            prompt="Read it",
            model="claude-haiku-5-5",
            max_tokens=500,
            enable_citations=True,
            **params,
        )
        [result] = batch.run().results().iter_all()
        return result


def test_fields_and_citations_come_from_one_call(tmp_path: Path) -> None:
    result = asked(tmp_path, LINES, response_model=Invoice)

    items = [Item(name="Widget", price=12.5), Item(name="Gadget", price=3.25)]
    assert result.parsed_response == Invoice(number="INV-7", vendor="Acme Corp", items=items)
    assert result.citation_mappings is not None
    assert {"number", "vendor", "items[0].price", "items[1].name"} <= set(result.citation_mappings)
    [citation] = result.citation_mappings["items[0].price"]
    assert (citation.page, citation.source, citation.confidence) == (1, "invoice.pdf", "high")


def test_mappings_survive_a_round_trip_through_json(tmp_path: Path) -> None:
    result = asked(tmp_path, LINES, response_model=Invoice)

    again = JobResult.from_dict(result.to_dict(), Invoice)

    assert again == result


def test_a_bare_schema_is_answered_with_citations_too(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"number": {"type": "string"}},
        "required": ["number"],
        "additionalProperties": False,
    }

    result = asked(tmp_path, "number: INV-7", response_schema=schema)

    assert result.parsed_response == {"number": "INV-7"}
    assert result.citation_mappings is not None
    assert set(result.citation_mappings) == {"number"}


def test_lines_that_lack_a_field_fail_the_job_and_keep_the_answer(tmp_path: Path) -> None:
    result = asked(tmp_path, "vendor: Acme Corp", response_model=Invoice)

    assert result.reason == "invalid_answer"
    assert result.raw_response == "vendor: Acme Corp"
    assert "number" in (result.error or "")


def test_an_answer_without_a_schema_has_its_citations(tmp_path: Path) -> None:
    result = asked(tmp_path, "The total is due.")

    assert result.is_success
    assert result.citations
    assert result.citation_mappings is None
