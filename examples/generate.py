"""A table of prompts in, the same table with answers out, from two servers at once."""

import json
from pathlib import Path

from batchata.gateway import Sandbox
from batchata.generate import GenerationPipeline, make_config

rows = [{"id": number, "question": f"What is {number} squared?"} for number in range(6)]
Path("questions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

with Sandbox() as one, Sandbox() as two:  # they stand in for two vLLM servers
    config = make_config(
        {
            "data": {"input_path": "questions.jsonl", "output_path": "answers.jsonl"},
            "model": {"url": [one.url, two.url], "name": "gpt-4.1-mini"},
            "generation": {"max_tokens": 60, "num_samples": 2, "temperature": [0.2, 0.9]},
        }
    )
    summary = GenerationPipeline(config).run()  # run it again: it is done, and sends nothing

print(Path("answers.jsonl").read_text())
print(summary.total_responses, "answers,", [server.answered for server in summary.servers])
