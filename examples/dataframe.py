"""Rows in, rows out: a job for each row, and its answer beside it in columns of its own."""

import pandas as pd
from pydantic import BaseModel

from batchata import Batch
from batchata.gateway import Sandbox


class Review(BaseModel):
    mood: str
    stars: int


reviews = pd.DataFrame(
    {"product": ["kettle", "lamp"], "text": ["Boils in two minutes.", "It flickers."]}
)

with Sandbox() as box:  # stands in for the vendor; leave it out and set OPENAI_API_KEY
    batch = Batch("out").set_provider("openai", api_key="sandbox", base_url=box.openai_base_url)
    batch.set_default_params(model="gpt-6-luna", response_model=Review)
    batch.add_rows(reviews, prompt="Rate this: {text}", id="product")

    answers = batch.run().to_dataframe()

print(answers[["product", "mood", "stars", "cost_usd"]])
