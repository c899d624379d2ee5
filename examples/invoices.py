"""Invoices from PDFs, at two vendors: nested fields, each with the passage it was read from."""

from json import dumps
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


pdfs, cited, quoted = {}, {}, {}  # files, and what the sandboxes answer about them
for number, bought in {"INV-1": {"Mug": 9.5, "Pen": 2.5}, "INV-2": {"Lamp": 249.0}}.items():
    invoice = Invoice(number=number, items=[Item(name=n, price=p) for n, p in bought.items()])
    lines = [f"{item.name} costs {item.price:.2f} USD." for item in invoice.items]
    pdfs[number] = (f"{number}.pdf", create_pdf([f"Invoice {number}", "\n".join(lines)]))
    said = [f"number: {number}"]
    for n, item in enumerate(invoice.items):
        said += [f"items[{n}].name: {item.name}", f"items[{n}].price: {item.price:.2f}"]
    cited[number] = "\n".join(said)
    quotes = {"number": number, "items": [{"name": line, "price": line} for line in lines]}
    quoted[number] = dumps({"answer": invoice.model_dump(), "quotes": quotes})

# with ANTHROPIC_API_KEY and OPENAI_API_KEY set, leave out the sandboxes
with Sandbox(Scenario(replies=cited)) as claude, Sandbox(Scenario(replies=quoted)) as gpt:
    batch = Batch("out").set_default_params(response_model=Invoice)
    batch.set_provider("anthropic", api_key="x", base_url=claude.anthropic_base_url)
    batch.set_provider("openai", api_key="x", base_url=gpt.openai_base_url)
    for model, how in (("claude-haiku-5-5", "enable_citations"), ("gpt-6-luna", "verify_quotes")):
        for pdf in pdfs.values():
            batch.add_job(file=pdf, prompt="Read this invoice.", model=model, **{how: True})
    for result in batch.run().results().completed:
        pages = {path: found.page for path, [found] in (result.citation_mappings or {}).items()}
        print(result.model, result.parsed_response, pages, sep="\n  ")
write_report(Path("out/state.db"), Path("invoices.html"))
