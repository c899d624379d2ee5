"""The same script again meets its own jobs: three are new, and only those are sent."""

from batchata import Batch
from batchata.gateway import Sandbox


def script(box: Sandbox, count: int) -> None:
    """What would be a file of its own, run again and again."""
    batch = Batch("out").set_state("numbers.db")
    batch.set_provider("openai", api_key="sandbox", base_url=box.openai_base_url)
    batch.set_default_params(model="gpt-6-luna")
    batch.add_jobs([f"Write {number} as a word." for number in range(count)])

    run = batch.run()

    print(run.status()["completed"], "answers;", box.ledger.billed_items, "ever paid for")


with Sandbox() as box:  # stands in for the vendor
    script(box, 5)
    script(box, 5)  # nothing is sent
    script(box, 8)  # three are sent
