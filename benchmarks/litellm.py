"""LiteLLM's proxy where it is installed: what its users pay today for what the gateway does."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

#: its own record of each call, as a line of JSON
_LOG = """
import json
from litellm.integrations.custom_logger import CustomLogger

class Recorder(CustomLogger):
    lines = open("litellm.jsonl", "a", buffering=1)

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        record = json.dumps(kwargs["standard_logging_object"], default=str)
        self.lines.write(record + chr(10))

recorder = Recorder()
"""
_MODEL = "gpt-6-luna"
_PRICES = {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}
#: budgets of keys and teams ask for a Postgres server; those of a vendor are kept in memory
_BUDGET = {"openai": {"budget_limit": 1e6, "time_period": "1d"}}
_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


def is_installed() -> bool:
    """True where LiteLLM's command is on the PATH."""
    return shutil.which("litellm") is not None


@contextmanager
def proxy(upstream: str, folder: Path, *, does_all: bool) -> Iterator[tuple[str, int]]:
    """LiteLLM's proxy before an upstream, bare or with log and budget; its address and pid."""
    port = 5900 + 2 * (os.getpid() % 1000) + does_all
    place = folder / f"litellm-{port}"
    place.mkdir(exist_ok=True)
    (place / "recording.py").write_text(_LOG)
    (place / "litellm.yaml").write_bytes(orjson.dumps(_config(upstream, does_all=does_all)))
    command = ["litellm", "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(port)]
    here, quiet = {**os.environ, **_ENVIRONMENT}, subprocess.DEVNULL
    process = subprocess.Popen(command, env=here, cwd=place, stdout=quiet, stderr=quiet)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def _config(upstream: str, *, does_all: bool) -> dict[str, object]:
    route = {"model": f"openai/{_MODEL}", "api_base": f"{upstream}/v1", "api_key": "k"}
    if not does_all:
        return {"model_list": [{"model_name": _MODEL, "litellm_params": route}]}
    return {
        "model_list": [{"model_name": _MODEL, "litellm_params": {**route, **_PRICES}}],
        "litellm_settings": {"callbacks": ["recording.recorder"]},
        "router_settings": {"provider_budget_config": _BUDGET},
    }
