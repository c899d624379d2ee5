"""Answers at once: a sample first, then all the others, inside one budget."""

from batchata import Batch, PilotReport
from batchata.gateway import Sandbox


def goes_on(pilot: PilotReport) -> bool:
    """Go on when nearly all of the sample went well and the rest is cheap enough."""
    print(f"{pilot.failed} of {pilot.jobs} failed; an answer: {pilot.answers[0]}")
    print(f"the other {pilot.left}: ${pilot.expected_usd} ± {pilot.expected_plus_minus_usd}")
    return pilot.failure_rate < 0.1 and pilot.expected_usd < 1


with Sandbox() as box:  # stands in for the vendor
    batch = Batch("out").set_provider("openai", api_key="sandbox", base_url=box.openai_base_url)
    batch.set_default_params(model="gpt-6-luna", max_tokens=100).add_cost_limit(usd=2)
    batch.set_route("live", concurrency=20).add_pilot(share=0.1, decide=goes_on)
    batch.add_jobs([f"Write about number {number}." for number in range(100)])

    status = batch.run().status()

print(f"{status['completed']} answers for ${status['cost_usd']}")
