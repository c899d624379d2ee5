"""Invoices from PDFs: nested fields, and for each field the passage it was read from."""

from pathlib import Path

from pydantic import BaseModel

from batchata import Batch
from batchata.documents.pdf import create_pdf
from batchata.gateway import Sandbox, Scenario


class Item(BaseModel):
    name: str
    price: float


class Invoice(BaseModel):
    number: str
    vendor: str
    items: list[Item]


PAGE = "Invoice INV-{0} from Acme Corp. Widget costs {0}2.50 USD. Gadget costs 3.25 USD."
LINES = "number: INV-{0}\nvendor: Acme Corp\nitems[0].name: Widget\nitems[0].price: {0}2.50"
replies = {f"INV-{number}": LINES.format(number) for number in range(1, 4)}

with Sandbox(Scenario(replies=replies)) as box:  # leave it out and set ANTHROPIC_API_KEY
    batch = Batch("out").set_provider("anthropic", api_key="x", base_url=box.anthropic_base_url)
    batch.set_default_params(model="claude-haiku-5-5", response_model=Invoice)
    for number in range(1, 4):
        path = Path(f"invoice-{number}.pdf")
        path.write_bytes(create_pdf([PAGE.format(number)]))
        batch.add_job(file=path, prompt=f"Read INV-{number}", enable_citations=True)

    for result in batch.run().results().completed:
        print(result.parsed_response)
        for field, citations in (result.citation_mappings or {}).items():
            print(f"  {field}: page {citations[0].page} of {citations[0].source}")
