"""Lines that nobody reads hold nothing up."""

from __future__ import annotations

import asyncio
import os

import pytest

from batchata.gateway.proxy.disk import terminal
from batchata.gateway.proxy.disk.terminal import Terminal


class Out:
    """What stands for stdout: the writing end of a pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd


async def write(bunches: int, read: int, *, is_read: bool) -> tuple[Terminal, bytes]:
    made = Terminal()
    made.open()
    for number in range(bunches):
        made.put([f"{number} {'x' * 1000}"])
    text = b""
    while is_read and text.count(b"\n") < bunches - made.skipped:
        text += await asyncio.to_thread(os.read, read, 1 << 16)
    await made.aclose()
    return made, text


def test_all_lines_reach_who_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    read, written = os.pipe()
    monkeypatch.setattr(terminal.sys, "stdout", Out(written))

    made, text = asyncio.run(write(200, read, is_read=True))
    os.close(read), os.close(written)

    assert [int(line.split()[0]) for line in text.splitlines()] == [*range(200)]
    assert made.skipped == 0


def test_a_reader_that_stands_still_holds_up_neither_events_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terminal, "_END_SECONDS", 0.01)
    read, written = os.pipe()
    monkeypatch.setattr(terminal.sys, "stdout", Out(written))

    made, _ = asyncio.run(write(1000, read, is_read=False))  # nor does this wait for it
    os.close(read)  # and with it the thread that wrote
    made._thread.join(60)
    os.close(written)

    assert made.skipped > 500
    assert not made._thread.is_alive()
