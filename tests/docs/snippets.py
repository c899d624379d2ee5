"""Code blocks of the documents, and how each kind is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
#: commands that go on until Ctrl-C, or that have tests of their own
NOT_RUN: Final = re.compile(
    r"batchata (demo\b|sandbox --(?!list-faults)|proxy (run|replay)\b|.* --follow\b)"
)


@dataclass(frozen=True)
class Block:
    """One code block."""

    page: str
    line: int
    language: str
    text: str

    @property
    def commands(self) -> Iterator[list[str]]:
        """Commands of ours in a shell block that end by themselves."""
        for line in self.text.splitlines():
            if line.startswith("batchata ") and not NOT_RUN.match(line):
                yield shlex.split(line, comments=True)[1:]


def pages() -> list[str]:
    """Documents with code blocks, named from the root of the repository."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = (path.relative_to(ROOT).as_posix() for path in found)
    return [
        name for name in names if any(each.language in ("python", "sh") for each in blocks(name))
    ]


def blocks(page: str) -> list[Block]:
    """The code blocks of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start()) + 2, match[1], match[2])
        for match in _FENCE.finditer(text)
    ]


def examples() -> list[str]:
    """The example programs."""
    return sorted(path.name for path in (ROOT / "examples").glob("*.py"))
