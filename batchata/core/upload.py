"""Files that are brought to a vendor once, so that requests name them by an id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePath
from typing import Final, Literal, NamedTuple

from batchata.core.document import Attachment

UploadMode = Literal["auto", "always", "never"]

#: what a file may add to all requests together before it is worth an upload
LARGE_BYTES: Final = 1_000_000
#: a vendor may take its whole day for a batch, and a little more
BATCH_SECONDS: Final = 26 * 3600.0
LIVE_SECONDS: Final = 1800.0
_NAME_CHARACTERS: Final = 100


class UploadStatus(IntEnum):
    """Where an upload is, as written in the state file."""

    INTENDED = 0  #: the vendor may have it
    THERE = 1  #: the vendor's id is known
    GONE = 2  #: the vendor has it no longer, or never had it

    @property
    def is_open(self) -> bool:
        """True while something of ours may lie at the vendor."""
        return self is not UploadStatus.GONE


class Destination(NamedTuple):
    """The purpose and the name under which a vendor keeps a file."""

    purpose: str
    name: str  #: files of one content and two names are two, where the model is shown the name


class UploadKey(NamedTuple):
    """Files of equal keys are uploaded once."""

    provider: str
    purpose: str
    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that a vendor has for us, or may have."""

    token: str  #: ours; it is in the file's name at the vendor, by which it is found
    provider: str
    purpose: str
    name: str
    sha256: str
    size_bytes: int
    status: UploadStatus = UploadStatus.INTENDED
    intended_us: int = 0  #: µs since the epoch, UTC
    file_id: str | None = None
    expires_us: int | None = None  #: when the vendor removes it by itself; None: never

    @property
    def key(self) -> UploadKey:
        """What tells it from other uploads."""
        return UploadKey(self.provider, self.purpose, self.name, self.sha256)

    @property
    def file_name(self) -> str:
        """Its name at the vendor: the user's, and the token."""
        path = PurePath(self.name)
        stem = "".join(" " if char in '<>:"|?*\\/' or char < " " else char for char in path.stem)
        return f"{stem[:_NAME_CHARACTERS]}.{self.token}{path.suffix}"

    def lasts(self, seconds: float, now_us: int) -> bool:
        """True when the vendor keeps it for at least this long from now."""
        return self.expires_us is None or self.expires_us - now_us >= seconds * 1e6


def inline_bytes(attachment: Attachment) -> int:
    """What a file adds to a request that carries it as base64."""
    return -(-attachment.size_bytes // 3) * 4


def worth_uploading(
    attachments: Sequence[Attachment],
    mode: UploadMode,
    *,
    uses: Sequence[int],
    is_too_large: bool,
) -> list[Attachment]:
    """Those of a job's files that go by id; `uses` says how many jobs ask about each of them.

    With "auto" these are the files that would add a megabyte to all requests together, and every
    file of a request that would be too large (`is_too_large`) with its files in it.
    """
    if mode == "never":
        return []
    if mode == "always" or is_too_large:
        return list(attachments)
    return [
        each
        for each, count in zip(attachments, uses, strict=True)
        if each.size_bytes * count >= LARGE_BYTES
    ]
