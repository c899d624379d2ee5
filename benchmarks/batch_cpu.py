"""CPU, memory and bytes written per job of a whole run, beside a bare script that keeps nothing.

    python -m benchmarks.batch_cpu --jobs 10000 --vendor openai

Jobs are short chats of about 1 KB; the server is the sandbox in a process of its own, whose CPU
is not counted. State file, raw files and JSONL results are on.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
FILLER = "The quick brown fox jumps over the lazy dog and thinks about it for a while. " * 12


def prompts(count: int) -> Iterator[str]:
    """Prompts of about 0.9 KB, each different."""
    for number in range(count):
        yield f"Question {number}: {FILLER}"


@contextmanager
def sandbox() -> Iterator[str]:
    """A sandbox in another process; its address."""
    command = [sys.executable, "-m", "batchata.gateway", "--port", "0", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def cpu_seconds() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def written_bytes() -> int:
    """Bytes this process sent to the disk; sockets do not count."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes"):
            return int(line.split()[1])
    return 0


def run_batchata(url: str, vendor: str, count: int, folder: Path) -> dict[str, float]:
    """One run through the library."""
    from batchata import Batch

    base_url = f"{url}/v1" if vendor == "openai" else url

    def build() -> Batch:
        batch = Batch(folder, items_per_batch=None, result_format="jsonl")
        batch.set_default_params(model=MODELS[vendor], max_tokens=100).add_cost_limit(1000)
        batch.set_provider(vendor, api_key="sandbox", base_url=base_url).set_polling(0.05)
        return batch.add_jobs(prompt for prompt in prompts(count))

    # the SDK's import, pools and price tables are paid once, whatever the number of jobs
    warm = Batch(folder.with_name("warm")).set_provider(
        vendor, api_key="sandbox", base_url=base_url
    )
    warm.set_polling(0.05).add_job(prompt="warm", model=MODELS[vendor]).run()
    before, wrote, began = cpu_seconds(), written_bytes(), time.perf_counter()
    run = build().run()
    cpu, wall = cpu_seconds() - before, time.perf_counter() - began
    assert run.status()["completed"] == count, run.status()
    raw = sum(each.stat().st_size for each in (folder / "raw_files").rglob("*") if each.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    again = time.perf_counter()
    build().run()
    return {
        "cpu_us_per_job": cpu / count * 1e6,
        "wall_s": wall,
        "peak_rss_mb": peak,
        "written_over_wire": (written_bytes() - wrote) / raw,
        "resume_s": time.perf_counter() - again,
    }


def run_bare(url: str, count: int, folder: Path) -> float:
    """The floor: a script that builds the file, uploads it, polls and reads the answers back."""
    before = cpu_seconds()
    path = folder / "bare.jsonl"
    with path.open("w") as file:
        for number, prompt in enumerate(prompts(count)):
            body = {
                "model": MODELS["openai"],
                "messages": [{"role": "user", "content": prompt}],
                "max_completion_tokens": 100,
            }
            line = {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions"}
            file.write(json.dumps({**line, "body": body}) + "\n")
    import openai

    client = openai.OpenAI(api_key="sandbox", base_url=f"{url}/v1")
    with path.open("rb") as file:
        uploaded = client.files.create(file=file, purpose="batch")
    batch = client.batches.create(
        input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    while batch.status != "completed":
        batch = client.batches.retrieve(batch.id)
    request = urllib.request.Request(
        f"{url}/v1/files/{batch.output_file_id}/content",
        headers={"Authorization": "Bearer sandbox"},
    )
    answers = {}
    with urllib.request.urlopen(request) as response:
        for line in response:
            item = json.loads(line)
            answers[item["custom_id"]] = item["response"]["body"]["choices"][0]["message"]
    assert len(answers) == count
    return (cpu_seconds() - before) / count * 1e6


def main() -> None:
    """Print the figures of one size, and the floor where one file can hold the jobs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--vendor", choices=sorted(MODELS), default="openai")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        with sandbox() as url:
            figures = run_batchata(url, options.vendor, options.jobs, folder / "out")
            print(
                f"{options.vendor}, {options.jobs:,} jobs: "
                + ", ".join(f"{name} {value:,.2f}" for name, value in figures.items())
            )
            if options.vendor == "openai" and options.jobs <= 50_000:
                print(f"bare script: cpu_us_per_job {run_bare(url, options.jobs, folder):,.2f}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
