"""Progress for a program: numbers while the run goes on, and once more at its end."""

from typing import Any

from batchata import Batch
from batchata.gateway import Sandbox, Scenario


def tell(stats: dict[str, Any], elapsed_seconds: float, batches: dict[str, Any]) -> None:
    done, total = stats["completed"] + stats["failed"], stats["total"]
    print(f"{done}/{total} after {elapsed_seconds:.1f} s, {len(batches)} batches seen")


with Sandbox(Scenario(latency_seconds=0.3)) as box:  # stands in for the vendor
    batch = Batch("out", items_per_batch=5).set_polling(0.02)
    batch.set_provider("openai", api_key="sandbox", base_url=box.openai_base_url)
    batch.set_default_params(model="gpt-6-luna")
    batch.add_jobs([f"Question {number}?" for number in range(20)])

    batch.run(on_progress=tell, progress_interval=0.2)
