"""Reads a job's file exactly as it was when checked, or fails."""

from __future__ import annotations

import hashlib
import io

from batchata.core.document import Attachment
from batchata.core.errors import ValidationError


class CheckedFile(io.FileIO):
    """A file read from its start; its last bytes come only if size and digest are unchanged.

    Raises ValidationError, naming the file, if it vanished or changed since it was checked; what
    was read before must then not be used.
    """

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._restart()
        try:
            super().__init__(attachment.path)
        except OSError as error:
            raise self._unreadable(error) from error

    def _restart(self) -> None:
        self._hasher = hashlib.sha256()
        self._left = self._attachment.size_bytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to the start, or to the end to learn the size."""
        position = super().seek(offset, whence)
        if not position:
            self._restart()
        return position

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; none at the end."""
        if not self._left:
            return b""
        most = self._left if size is None or size < 0 else min(size, self._left)
        try:
            piece = super().read(most) or b""
            self._hasher.update(piece)
            self._left -= len(piece)
            is_changed = not piece or (not self._left and not self._is_whole())
        except OSError as error:
            raise self._unreadable(error) from error
        if is_changed:
            raise ValidationError(
                f"file {self._attachment.path!r} has changed since it was checked",
                hint="run again to ask about the new file, or put the old one back",
            )
        return piece

    def _is_whole(self) -> bool:
        return not super().read(1) and self._hasher.hexdigest() == self._attachment.sha256

    def _unreadable(self, error: OSError) -> ValidationError:
        return ValidationError(
            f"file {self._attachment.path!r} can no longer be read: {error.strerror or error}",
            hint="put it back, and run again",
        )
