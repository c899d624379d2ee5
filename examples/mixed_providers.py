"""One run, two vendors, three endpoints: each job names its model."""

from batchata import Batch
from batchata.gateway import Sandbox

TEXT = "The kettle boils in two minutes and pours without a drip."

with Sandbox() as box:  # stands in for both vendors
    batch = (
        Batch("out")
        .set_provider("openai", api_key="sandbox", base_url=box.openai_base_url)
        .set_provider("anthropic", api_key="sandbox", base_url=box.anthropic_base_url)
        .add_job(id="short", model="gpt-6-luna", prompt=f"In five words: {TEXT}")
        .add_job(id="french", model="gpt-6-luna", prompt=f"In French: {TEXT}", endpoint="responses")
        .add_job(id="reply", model="claude-haiku-5-5", prompt=f"Say thank you for this: {TEXT}")
        .add_job(id="vector", model="text-embedding-3-small", prompt=TEXT)
    )

    results = batch.run().results()

    for job_id in ("short", "french", "reply"):
        print(job_id, "·", results[job_id].response)
    print("vector ·", list(results["vector"].extra or ()))
