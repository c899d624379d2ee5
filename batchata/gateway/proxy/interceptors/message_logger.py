"""`message_logger`: every exchange, request and answer in one line of a JSONL file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

from batchata.core.redact import Redactor
from batchata.gateway.proxy.disk.lines import LineFile
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.http.headers import Headers
from batchata.gateway.proxy.interceptors.line_writer import LineWriter
from batchata.gateway.proxy.telemetry.emitter import answer_attributes

#: only these headers are written: the names of keys are too many to list
LOGGED_HEADERS: Final = frozenset(
    {
        "content-type",
        "content-length",
        "user-agent",
        "anthropic-version",
        "anthropic-beta",
        "openai-beta",
        "openai-version",
        "openai-processing-ms",
        "request-id",
        "retry-after",
        "x-request-id",
        "x-should-retry",
        "x-stainless-retry-count",
    }
)
_REDACTOR: Final = Redactor()


class MessageLogger(LineWriter):
    """Appends exchanges to `directory/filename`; with `include_metadata` also headers and ids."""

    name = "message_logger"
    options: ClassVar = {
        "directory": "./message_logs",
        "filename": "message_log.jsonl",
        "include_metadata": True,
        "include_system_prompts": True,
    }
    directory: str | Path
    filename: str
    include_metadata: bool  #: also write headers, ids, tags and upstream of each exchange
    include_system_prompts: bool

    async def start(self) -> None:
        """Open the file."""
        self._file = LineFile(Path(self.directory) / self.filename, _REDACTOR)
        self._file.open()

    async def on_response(self, exchange: Exchange) -> None:
        """Add an exchange."""
        await self.write(self._row(exchange))

    def _row(self, exchange: Exchange) -> dict[str, Any]:
        answered = exchange.answer
        body = dict(_REDACTOR.named(exchange.json)) if exchange.json is not None else None
        if body is not None and not self.include_system_prompts:
            body = _without_system(body)
        row: dict[str, Any] = {
            "timestamp_us": exchange.began_us,
            "exchange_id": exchange.id,
            "session_id": exchange.session_id,
            "method": exchange.method,
            "path": exchange.path,
            "request": body,
        }
        if answered is not None:
            row["response"] = answer_attributes(answered)
            calls = [
                {"id": c.id, "name": c.name, "arguments": c.arguments}
                | ({"choice": c.choice} if c.choice else {})
                for c in answered.tool_calls
            ]
            if calls:
                row["response"]["llm.response.tool_calls"] = calls
        if self.include_metadata:
            row["metadata"] = {
                "upstream": exchange.upstream.name,
                "agent_id": exchange.agent_id,
                "tags": dict(exchange.tags),
                "attempt": exchange.attempt,
                "request_headers": logged(exchange.headers),
                "response_headers": logged(answered.headers) if answered else {},
            }
        return row


def logged(headers: Headers) -> dict[str, str]:
    """The headers that may be written."""
    return {
        name.lower(): value if value.isascii() else value.encode("utf-8", "replace").decode()
        for name, value in headers
        if name.lower() in LOGGED_HEADERS or name.lower().startswith("x-ratelimit-")
    }


def _without_system(body: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if name not in ("system", "instructions")}
    for name in ("messages", "input"):
        turns = kept.get(name)
        if isinstance(turns, list):
            kept[name] = [
                turn
                for turn in turns
                if not (isinstance(turn, dict) and turn.get("role") in ("system", "developer"))
            ]
    return kept
