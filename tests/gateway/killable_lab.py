"""A gateway in a process of its own, which a test kills."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from batchata.cli import main

if TYPE_CHECKING:
    from zygote import Forked, Zygote


def run_with_no_umask(command: list[str]) -> None:
    """The command; what it writes has to be its owner's only without one, too."""
    os.umask(0)
    main(command)


@contextmanager
def killable(
    zygote: Zygote, config: dict[str, Any], folder: Path, *flags: str
) -> Iterator[tuple[Forked, str]]:
    """The process of `batchata proxy run`, and its address; killed at the end of the block."""
    file = folder / "gateway.yaml"
    file.write_bytes(orjson.dumps(config))
    command = ["proxy", "run", "--json", "--config", str(file), *flags]
    with zygote.start(run_with_no_umask, command) as process:
        said = b""
        while not said.endswith(b"}\n"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        yield process, orjson.loads(said)["anthropic_base_url"]
