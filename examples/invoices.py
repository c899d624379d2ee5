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


# what the sandbox answers; leave it out, and set ANTHROPIC_API_KEY and OPENAI_API_KEY
LINES = "number: INV-1\nitems[0].name: Mug\nitems[0].price: 9.50"
LINES += "\nitems[1].name: Pen\nitems[1].price: 2.50"
QUOTED = """{"answer": {"number": "INV-1", "items": [{"name": "Mug", "price": 9.5},
  {"name": "Pen", "price": 2.5}]}, "quotes": {"number": "Invoice INV-1", "items": [{"name": "Mugs",
  "price": "costs 9.50"}, {"name": "Pen", "price": "costs 2.50 USD"}]}}"""
pdf = ("invoice.pdf", create_pdf(["Invoice INV-1", "Mug costs 9.50 USD.\nPen costs 2.50 USD."]))
with Sandbox(Scenario(replies={'"citations"': LINES, "invoice": QUOTED})) as box:
    batch = Batch("out").set_default_params(response_model=Invoice)
    batch.set_provider("anthropic", api_key="x", base_url=box.anthropic_base_url)
    batch.set_provider("openai", api_key="x", base_url=box.openai_base_url)
    for model, how in (("claude-haiku-5-5", "enable_citations"), ("gpt-6-luna", "verify_quotes")):
        batch.add_job(file=pdf, prompt="Read this invoice.", model=model, **{how: True})
    for result in batch.run().results().completed:
        cited = {path: found.page for path, [found] in (result.citation_mappings or {}).items()}
        print(result.model, result.parsed_response, cited, sep="\n  ")
write_report(Path("out/state.db"), Path("invoices.html"))
