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
LINES = "number: INV-1\nitems[0].name: Widget\nitems[0].price: 12.50"
QUOTED = """{"answer": {"number": "INV-1", "items": [{"name": "Widget", "price": 12.50}]},
  "quotes": {"number": "Invoice INV-1", "items": [{"name": "Widgets", "price": "costs 12.50"}]}}"""

(file := Path("invoice.pdf")).write_bytes(create_pdf(["Invoice INV-1", "Widget costs 12.50 USD."]))
with Sandbox(Scenario(replies={'"citations"': LINES, "invoice": QUOTED})) as box:
    batch = Batch("out").set_default_params(response_model=Invoice)
    batch.set_provider("anthropic", api_key="x", base_url=box.anthropic_base_url)
    batch.set_provider("openai", api_key="x", base_url=box.openai_base_url)
    for model, how in (("claude-haiku-5-5", "enable_citations"), ("gpt-6-luna", "verify_quotes")):
        batch.add_job(file=file, prompt="Read this invoice.", model=model, **{how: True})
    for result in batch.run().results().completed:
        print(result.model, result.parsed_response)
        for field, (cited, *_) in (result.citation_mappings or {}).items():
            print(f"  {field}: page {cited.page}, {cited.text!r} ({cited.match_reason})")
write_report(Path("out/state.db"), Path("invoices.html"))
