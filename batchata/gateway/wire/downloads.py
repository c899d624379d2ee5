"""Sends files to clients."""

from pathlib import Path

from aiohttp import web


class Download(web.FileResponse):
    """A file being sent; a Range request gets the part it asks for."""

    def __init__(self, source: Path, kind: str) -> None:
        super().__init__(source, headers={"Content-Type": kind})
        self.source = source
        self.kind = kind
