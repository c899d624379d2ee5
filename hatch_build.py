"""What a package index shows: the README without links to files, which lead nowhere there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_TO_A_FILE = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)\s]+\)")


class ReadmeHook(MetadataHookInterface):
    """Gives the long description."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README, each link to a file as its plain words."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        said = _TO_A_FILE.sub(r"\1", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": said}
