"""The shortest whole program: ask, wait, read."""

from batchata import Batch
from batchata.gateway import Sandbox

with Sandbox() as box:  # stands in for the vendor; leave it out and set OPENAI_API_KEY
    batch = Batch("out").set_provider("openai", api_key="sandbox", base_url=box.openai_base_url)
    batch.set_default_params(model="gpt-6-luna", max_tokens=100)

    for city in ("Lisbon", "Nairobi", "Osaka"):
        batch.add_job(prompt=f"Name one thing to see in {city}.", metadata={"city": city})

    run = batch.run()

    for result in run.results().completed:
        print(result.metadata["city"], "·", result.response)
    print("cost in USD:", run.status()["cost_usd"])
