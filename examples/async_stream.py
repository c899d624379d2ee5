"""Results as they come, in async code."""

import asyncio

from batchata import Batch
from batchata.gateway import Sandbox


async def main(box: Sandbox) -> None:
    batch = Batch("out", items_per_batch=3)
    batch.set_provider("openai", api_key="sandbox", base_url=box.openai_base_url)
    batch.set_default_params(model="gpt-6-luna")
    batch.add_jobs([f"Question {number}?" for number in range(9)])

    run = batch.start()
    async for result in run.stream():
        print(result.status, result.response)


with Sandbox() as box:  # stands in for the vendor
    asyncio.run(main(box))
