"""Generations in a folder of their own, against the sandbox or a server that keeps its requests."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from batchata.gateway import Sandbox
from batchata.generate import Config, GenerationPipeline, Summary, make_config

MODEL = "gpt-4.1-mini"
Rows = list[dict[str, Any]]
Wire = dict[str, Any]


def questions(count: int) -> Rows:
    """Short questions, each with a number and a group."""
    return [
        {"id": number, "question": f"question {number}", "group": "ab"[number % 2]}
        for number in range(count)
    ]


def write(path: Path, rows: Rows) -> Path:
    """Write rows in the format of the ending."""
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=7)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> Rows:
    """Read rows in the format of the ending."""
    if path.suffix == ".parquet":
        found: Rows = pyarrow.parquet.read_table(path).to_pylist()
        return found
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@dataclass
class GenerationLab:
    """A folder, a sandbox, and generations from the one through the other."""

    box: Sandbox
    folder: Path
    rows: Rows = field(default_factory=lambda: questions(20))

    @property
    def out(self) -> Path:
        """The output."""
        return self.folder / "out.parquet"

    def values(self, **sections: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Sections of a config over the lab's own rows."""
        source = self.folder / "in.parquet"
        if not source.exists():
            write(source, self.rows)
        made: dict[str, dict[str, Any]] = {
            "data": {"input_path": str(source), "output_path": str(self.out)},
            "model": {"url": self.box.openai_base_url, "name": MODEL, "concurrency": 8},
            "generation": {"max_tokens": 60},
            "retry": {"retry_delay": 0.001},
        }
        for name, keys in sections.items():
            made[name] = {**made.get(name, {}), **keys}
        return made

    def config(self, **sections: dict[str, Any]) -> Config:
        """A config over the lab's own rows."""
        return make_config(self.values(**sections))

    def run(self, *, fresh: bool = False, **sections: dict[str, Any]) -> Summary:
        """Run a generation to its end."""
        return GenerationPipeline(self.config(**sections)).run(fresh=fresh)

    @property
    def calls(self) -> list[str]:
        """What stands for each question that was billed."""
        return [call.content for call in self.box.ledger.live]


def said(text: str, **message: Any) -> Wire:
    """A choice of an answer."""
    return {"message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}


@dataclass
class Server:
    """A server of one model that keeps what it was sent."""

    url: str = ""
    bodies: list[Wire] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def server_of(answer: Callable[[Wire], Sequence[Wire]]) -> Iterator[Server]:
    """A server that answers with choices, on a free port."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send({"data": [{"id": "tiny"}, {"id": "other"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.bodies.append(body)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            choices = [{"index": n, **each} for n, each in enumerate(answer(body))]
            usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
            self._send(
                {"id": "c", "object": "chat.completion", "model": "tiny", "created": 1}
                | {"choices": choices, "usage": usage}
            )

        def _send(self, value: Wire) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
