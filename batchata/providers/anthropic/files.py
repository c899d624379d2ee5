"""Anthropic's files that requests name by id. Source: Anthropic API reference, Files."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from batchata.core.document import Attachment
from batchata.core.submission import Shape
from batchata.core.upload import Destination, Upload
from batchata.ports import RemoteFile
from batchata.providers.caller import Caller
from batchata.providers.control import readable
from batchata.providers.file_ids import with_file_ids

#: the vendor removes an upload after so long, whatever became of the run
KEEP_SECONDS: Final = 3 * 86_400
#: how far before the intent a vendor's clock may date a file
_SKEW_SECONDS: Final = 3_600


class AnthropicFiles:
    """The files endpoint, through the official SDK."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def destination(self, shape: Shape, attachment: Attachment) -> Destination | None:
        """Any file; the model is shown the title in the request, not the file's name."""
        suffix = mimetypes.guess_extension(attachment.media_type) or ""
        return Destination(attachment.media_type, f"batchata{suffix}")

    def refer(self, body: bytes, ids: Mapping[str, str]) -> bytes:
        """The body with the files named by their ids."""
        return with_file_ids(body, ids)

    async def upload(self, upload: Upload, file: BinaryIO) -> RemoteFile:
        """Stream the file to the vendor; it is named after the token."""
        return _remote(
            await self._caller.ask(
                self._caller.client.files.upload,
                named=True,
                file=(upload.file_name, file, upload.purpose),
                expires_in_seconds=KEEP_SECONDS,
            )
        )

    async def find(self, upload: Upload) -> list[RemoteFile]:
        """Files with the token in their name and of the right size."""
        with readable("Anthropic"):
            return await self._found(upload)

    async def _found(self, upload: Upload) -> list[RemoteFile]:
        since = upload.intended_us / 1e6 - _SKEW_SECONDS
        found: list[RemoteFile] = []
        cursor: dict[str, Any] = {}
        while True:
            page = await self._caller.control(self._caller.client.files.list, limit=1000, **cursor)
            for file in page.data:
                if file.created_at.timestamp() < since:
                    return found
                if upload.token in file.filename and file.size_bytes == upload.size_bytes:
                    found.append(_remote(file))
            if not page.data or not page.next_page:
                return found
            cursor = {"page": page.next_page}

    async def look(self, file_id: str) -> RemoteFile | None:
        """The file, None when it was deleted."""
        files = self._caller.client.files
        found = await self._caller.control_if_there(files.retrieve_metadata, file_id)
        return None if found is None else _remote(found)

    async def delete(self, file_id: str) -> None:
        """Remove a file; one that is gone already is well."""
        await self._caller.control_if_there(self._caller.client.files.delete, file_id)


def _remote(file: Any) -> RemoteFile:
    expires = getattr(file, "expires_at", None)
    return RemoteFile(
        str(file.id), None if expires is None else int(expires.timestamp() * 1_000_000)
    )
