"""A budget that cannot be passed: what does not fit is skipped, and a higher limit does it."""

from batchata import Batch, BatchRun
from batchata.gateway import Sandbox


def ask(box: Sandbox, limit_usd: float) -> BatchRun:
    batch = Batch("out", items_per_batch=2).set_state("budget.db").add_cost_limit(limit_usd)
    batch.set_provider("openai", api_key="sandbox", base_url=box.openai_base_url)
    batch.set_default_params(model="gpt-6-luna", max_tokens=2_000)
    batch.add_jobs([f"Write a story about the number {number}." for number in range(10)])
    print("at most", batch.estimate().worst_case_usd, "USD for what is left")
    return batch.run()


with Sandbox() as box:  # stands in for the vendor
    for limit_usd in (0.00055, 0.05):
        run = ask(box, limit_usd)
        status = run.status()
        print(f"limit {limit_usd}: {status['completed']} done, {status['skipped']} skipped")
        assert status["cost_usd"] <= status["cost_limit_usd"]
