"""`printer`: calls, sessions and tools on the terminal as they happen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar, Final

from batchata.core.redact import Redactor
from batchata.gateway.proxy.disk.terminal import Terminal
from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.telemetry.events import GatewayEvent

_KINDS: Final = {"session": "show_sessions", "llm": "show_llm_calls", "tool": "show_tools"}
_SHOWN: Final = 200
_REDACTOR: Final = Redactor()


class Printer(Interceptor):
    """Writes a line for each event to stdout."""

    name = "printer"
    options: ClassVar = {
        "show_sessions": True,
        "show_llm_calls": True,
        "show_tools": True,
        "show_content": False,
    }
    show_sessions: bool
    show_llm_calls: bool
    show_tools: bool
    show_content: bool  #: also print the first 200 characters of each answer

    async def start(self) -> None:
        """Begin to write."""
        self._lines: list[str] = []
        self._terminal = Terminal()
        self._terminal.open()

    async def on_event(self, event: GatewayEvent) -> None:
        """Add the event's line."""
        if getattr(self, _KINDS[event.name.partition(".")[0]]):
            line = line_of(event, show_content=self.show_content).encode("utf-8", "replace")
            self._lines.append(_REDACTOR.json(line).decode())

    async def flush(self) -> None:
        """Hand the lines over to be written."""
        if self._lines:
            self._terminal.put(self._lines)
            self._lines = []

    def gauges(self) -> Mapping[str, float]:
        """Lines that were left out because those before them were not read."""
        return {"skipped_lines": self._terminal.skipped}

    async def aclose(self) -> None:
        """Write what waits, as long as it is read."""
        await self.flush()
        await self._terminal.aclose()


def line_of(event: GatewayEvent, *, show_content: bool) -> str:
    """One event in a line."""
    at = datetime.fromtimestamp(event.at_us / 1e6, UTC).strftime("%H:%M:%S")
    found = event.attributes
    parts = [event.session_id[:16]]
    for name in ("llm.model", "tool.name", "tool.status", "http.status_code"):
        if found.get(name) is not None:
            parts.append(str(found[name]))
    if event.name == "llm.call.finish" and "llm.usage.input_tokens" in found:
        tokens = f"{found['llm.usage.input_tokens']}+{found['llm.usage.output_tokens']} tokens"
        parts.append(tokens)
    if "llm.cost_usd" in found:
        parts.append(f"${float(found['llm.cost_usd']):.6f}")
    if "llm.response.seconds" in found:
        parts.append(f"{found['llm.response.seconds']:.2f} s")
    if found.get("error.message"):
        parts.append(str(found["error.message"])[:_SHOWN])
    if show_content and found.get("llm.response.content"):
        parts.append(str(found["llm.response.content"])[:_SHOWN])
    said = "  ".join(" ".join(part.split()) for part in parts if part)
    line = f"{at}  {event.name:<15}  {said}"
    # a name that a client made up must not move the cursor
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)
