"""A table in, the same table out: answers beside their rows, and nothing asked twice."""

import pandas as pd

from batchata.frames import extract_df
from batchata.gateway import Sandbox

reviews = pd.DataFrame(
    {
        "review_id": [1071885, 3883883, 7404577],
        "text": ["Friendly teams, slow decisions.", "Long hours.", "Great mentors, fair pay."],
    }
)
schema = {
    "type": "object",
    "properties": {"culture": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["culture", "score"],
}

with Sandbox() as box:  # stands in for the vendor; leave it out and set OPENAI_API_KEY
    answers = extract_df(
        reviews,
        prompt="Name the culture each review describes, and score it from 1 to 5.",
        schema=schema,
        cache_path="answers.sqlite",  # run it again: every answer comes from here
        model="gpt-6-luna",
        id_col="review_id",
        api_key="sandbox",
        base_url=box.openai_base_url,
    )

print(reviews.merge(answers, left_on="review_id", right_on="input_id"))
