"""Invoices from PDFs, at two vendors: nested fields, each with the passage it was read from."""

from pathlib import Path

from pydantic import BaseModel

from batchata import Batch
from batchata.documents.pdf import create_pdf
from batchata.gateway import Sandbox, Scenario
from batchata.report import write_report


class Item(BaseModel):
    name: str
    price: float


class Invoice(BaseModel):
    number: str
    items: list[Item]


IDS = ("INV-1", "INV-2", "INV-3")
LINES = "number: INV-1\nitems[0].name: Mug\nitems[0].price: 9.50"  # what the sandboxes answer;
LINES += "\nitems[1].name: Pen\nitems[1].price: 2.50"  # with keys of the vendors leave it out
QUOTED = """{"answer": {"number": "INV-1", "items": [{"name": "Mug", "price": 9.5},
  {"name": "Pen", "price": 2.5}]}, "quotes": {"number": "Invoice INV-1", "items": [{"name": "Mugs",
  "price": "Mug: 9.50"}, {"name": "Pen", "price": "Pen: 2.50 USD"}]}}"""
cited, quoted = ({each: said.replace("INV-1", each) for each in IDS} for said in (LINES, QUOTED))
pdfs = [(f"{n}.pdf", create_pdf([f"Invoice {n}", "Mug: 9.50 USD\nPen: 2.50 USD"])) for n in IDS]
with Sandbox(Scenario(replies=cited)) as claude, Sandbox(Scenario(replies=quoted)) as gpt:
    batch = Batch("out").set_provider("openai", api_key="x", base_url=gpt.openai_base_url)
    batch.set_provider("anthropic", api_key="x", base_url=claude.anthropic_base_url)
    for model, how in (("claude-haiku-5-5", "enable_citations"), ("gpt-6-luna", "verify_quotes")):
        question = {"prompt": "Read this invoice.", "response_model": Invoice, how: True}
        batch.add_jobs([{"file": pdf, "model": model, **question} for pdf in pdfs])
    for result in batch.run().results().completed:
        print(result.model, result.parsed_response, list(result.citation_mappings or ()))
write_report(Path("out/state.db"), Path("invoices.html"))
