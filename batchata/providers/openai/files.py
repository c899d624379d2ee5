"""OpenAI's files that requests name by id. Source: OpenAI API reference, Files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from batchata.core.document import Attachment
from batchata.core.errors import AccountStoppedError, ProviderRejectedError
from batchata.core.submission import Shape
from batchata.core.upload import Destination, Upload
from batchata.ports import RemoteFile
from batchata.providers.caller import Caller
from batchata.providers.control import readable
from batchata.providers.file_ids import with_file_ids
from batchata.providers.openai.client import pages

log = logging.getLogger("batchata.providers.openai")

#: the vendor removes an upload after so long, whatever became of the run
KEEP_SECONDS: Final = 3 * 86_400
#: how far before the intent a vendor's clock may date a file
_SKEW_SECONDS: Final = 3_600


class OpenAIFiles:
    """The files endpoint, through the official SDK."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def destination(self, shape: Shape, attachment: Attachment) -> Destination | None:
        """Any file under its own name, which the model is shown; a chat's image by no id."""
        if not attachment.media_type.startswith("image/"):
            return Destination("user_data", attachment.name)
        return Destination("vision", attachment.name) if "chat" not in shape.endpoint else None

    def refer(self, body: bytes, ids: Mapping[str, str]) -> bytes:
        """The body with the files named by their ids."""
        return with_file_ids(body, ids)

    async def upload(self, upload: Upload, file: BinaryIO) -> RemoteFile:
        """Stream the file to the vendor; it is named after the token."""
        return _remote(
            await self._caller.ask(
                self._caller.client.files.create,
                named=True,
                file=(upload.file_name, file),
                purpose=upload.purpose,
                expires_after={"anchor": "created_at", "seconds": KEEP_SECONDS},
            )
        )

    async def find(self, upload: Upload) -> list[RemoteFile]:
        """Files with the token in their name and of the right size."""
        since = upload.intended_us / 1e6 - _SKEW_SECONDS
        newest = pages(
            self._caller,
            self._caller.client.files.list,
            purpose=upload.purpose,
            limit=1000,
            order="desc",
        )
        found = []
        try:
            with readable("OpenAI"):
                async for file in newest:
                    if file.created_at < since:
                        break
                    if upload.token in file.filename and file.bytes == upload.size_bytes:
                        found.append(_remote(file))
        except AccountStoppedError:
            raise
        except ProviderRejectedError as error:  # a vendor without a listing
            log.info("uploads cannot be listed: %s", error.message)
        return found

    async def look(self, file_id: str) -> RemoteFile | None:
        """The file, None when it was deleted or has expired."""
        files = self._caller.client.files
        found = await self._caller.control_if_there(files.retrieve, file_id)
        return None if found is None else _remote(found)

    async def delete(self, file_id: str) -> None:
        """Remove a file; one that is gone already is well."""
        await self._caller.control_if_there(self._caller.client.files.delete, file_id)


def _remote(file: Any) -> RemoteFile:
    expires = getattr(file, "expires_at", None)
    return RemoteFile(str(file.id), None if expires is None else int(expires * 1_000_000))
