"""A vendor's place for files, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import orjson

from batchata.core.document import Attachment
from batchata.core.submission import Shape
from batchata.core.upload import Destination, Upload
from batchata.ports import RemoteFile
from batchata.testing.scripted import ScriptedCalls

_PIECE: Final = 64 * 1024


@dataclass(slots=True, kw_only=True)
class FakeFilesAPI(ScriptedCalls):
    """Keeps uploads by id until they are deleted, or a test takes them out of `kept`."""

    expires_us: int | None = None  #: of every file that comes, µs since the epoch
    kept: dict[str, tuple[str, bytes]] = field(default_factory=dict)  #: id → name and content
    _made: int = 0

    def destination(self, shape: Shape, attachment: Attachment) -> Destination | None:
        """Any file, under its own name."""
        return Destination("any", attachment.name)

    def refer(self, body: bytes, ids: Mapping[str, str]) -> bytes:
        """The body with the documents named by their ids."""
        asked = orjson.loads(body)
        asked["documents"] = [ids.get(each, each) for each in asked.get("documents", ())]
        return orjson.dumps(asked)

    async def upload(self, upload: Upload, file: BinaryIO) -> RemoteFile:
        """Keep the file."""
        return await self._do("upload", lambda: self._keep(upload, file))

    async def find(self, upload: Upload) -> list[RemoteFile]:
        """Files with the token in their name."""
        return await self._do("find", lambda: self._named(upload.token))

    async def look(self, file_id: str) -> RemoteFile | None:
        """The file, None when it was deleted."""
        return await self._do("look", lambda: self._remote(file_id))

    async def delete(self, file_id: str) -> None:
        """Remove a file."""
        await self._do("delete", lambda: self.kept.pop(file_id, None))

    def _keep(self, upload: Upload, file: BinaryIO) -> RemoteFile:
        content = b"".join(iter(lambda: file.read(_PIECE), b""))
        self._made += 1
        file_id = f"kept-{self._made}"
        self.kept[file_id] = (upload.file_name, content)
        return RemoteFile(file_id, self.expires_us)

    def _named(self, token: str) -> list[RemoteFile]:
        ids = [file_id for file_id, (name, _) in self.kept.items() if token in name]
        return [RemoteFile(file_id, self.expires_us) for file_id in ids]

    def _remote(self, file_id: str) -> RemoteFile | None:
        return RemoteFile(file_id, self.expires_us) if file_id in self.kept else None
