"""A pydantic model in, its instances out; an answer that does not fit is a failed job."""

from typing import Literal

from pydantic import BaseModel

from batchata import Batch
from batchata.gateway import Sandbox


class Ticket(BaseModel):
    topic: Literal["payment", "delivery", "product"]
    needs_person: bool
    summary: str


LETTERS = ["I was charged twice.", "The parcel never came.", "The lamp flickers."]

with Sandbox() as box:  # stands in for the vendor; leave it out and set ANTHROPIC_API_KEY
    batch = Batch("out").set_provider(
        "anthropic", api_key="sandbox", base_url=box.anthropic_base_url
    )
    batch.set_default_params(model="claude-haiku-5-5", response_model=Ticket)
    batch.add_jobs([f"What is this letter about? {letter}" for letter in LETTERS])

    results = batch.run().results()

    for result in results.completed:
        ticket: Ticket = result.parsed_response
        print(ticket.topic, ticket.needs_person, ticket.summary)
    for result in results.failed:
        print("failed:", result.reason, result.error)
