"""Begin responses that take their time, leave, and fetch them in another run."""

from batchata import Batch
from batchata.gateway import Sandbox, Scenario


def build(address: str) -> Batch:
    """The same batch each time the script runs."""
    batch = Batch("thoughts").set_provider("openai", api_key="sandbox", base_url=address)
    batch.set_default_params(model="gpt-6-luna", max_tokens=200).add_cost_limit(usd=1)
    for topic in ("time", "money", "luck"):
        batch.add_job(id=topic, prompt=f"Think long about {topic}.", reasoning={"effort": "high"})
    return batch.set_route("background").set_polling(0.1)


with Sandbox(Scenario(background_seconds=1)) as box:
    first = build(box.openai_base_url).start()
    first.wait(timeout=0.5)
    first.shutdown()  # or kill -9: what was begun goes on at the vendor
    print("left at the vendor:", first.status()["active"])

    second = build(box.openai_base_url).run()
    print("begun:", len(box.ledger.live), "answered:", len(second.results().completed))
