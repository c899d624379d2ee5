"""What Anthropic refuses about the documents and images of a request."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from batchata.gateway.sandbox.media import (
    IMAGES,
    PDF,
    decoded,
    longest_side,
    pdf_fault,
    sniffed,
    stored,
)
from batchata.gateway.sandbox.world import World
from batchata.gateway.wire.anthropic import MessagesRequest
from batchata.gateway.wire.errors import RefusedError, VendorError, invalid, not_found

MAX_IMAGE: Final = 10 * 1024 * 1024
MAX_SIDE: Final = 8_000
MANY_IMAGES: Final = 20
MANY_SIDE: Final = 2_000
MAX_PAGES: Final = 600
SMALL_CONTEXT: Final = ("claude-2", "claude-3", "claude-haiku-4", "claude-opus-4-0")
SMALL_PAGES: Final = 100

Place = tuple[str, dict[str, Any]]


def check_media(world: World, request: MessagesRequest) -> dict[str, Path]:
    """Check every document and image; returns the uploaded files among them by id."""
    check = _Check(world)
    places = list(_places(request))
    check.images = sum(block["type"] == "image" for _, block in places)
    for where, block in places:
        check.block(where, block)
    most = SMALL_PAGES if request.model.startswith(SMALL_CONTEXT) else MAX_PAGES
    if check.pages > most:
        raise invalid(f"messages: A maximum of {most} PDF pages may be provided.")
    if check.images > most:
        raise invalid(f"messages: A maximum of {most} images may be provided.")
    return check.files


def _places(request: MessagesRequest) -> Iterator[Place]:
    for number, message in enumerate(request.messages):
        if isinstance(message.content, list):
            yield from _inside(f"messages.{number}.content", message.content)


def _inside(where: str, blocks: list[dict[str, Any]]) -> Iterator[Place]:
    for number, block in enumerate(blocks):
        if block.get("type") in ("document", "image"):
            yield f"{where}.{number}.{block['type']}", block
        elif isinstance(block.get("content"), list):
            yield from _inside(f"{where}.{number}.content", block["content"])


@dataclass(slots=True)
class _Check:
    """Checks the blocks of one request."""

    world: World
    images: int = 0
    pages: int = 0
    files: dict[str, Path] = field(default_factory=dict)

    def block(self, where: str, block: Mapping[str, Any]) -> None:
        """Check one block."""
        source = block.get("source")
        if not isinstance(source, dict):
            raise invalid(f"{where}.source: Field required")
        kind = str(source.get("type"))
        check = _SOURCES.get(kind)
        if check is None or (block["type"] == "image" and kind in ("text", "content")):
            raise invalid(f"{where}.source: Input tag '{kind}' found using 'type' is not expected")
        check(self, f"{where}.source", source, block["type"] == "image")

    def base64(self, where: str, source: Mapping[str, Any], is_image: bool) -> None:
        """Check a file inside the request."""
        media, allowed = source.get("media_type"), IMAGES if is_image else (PDF,)
        if media not in allowed:
            named = " or ".join(repr(each) for each in allowed)
            raise invalid(f"{where}.base64.media_type: Input should be {named}")
        data = decoded(source.get("data"))
        if data is None:
            raise invalid(f"{where}.base64.data: Invalid base64 data")
        if is_image and len(source["data"]) > MAX_IMAGE:
            size = len(source["data"])
            raise invalid(
                f"{where}.base64: image exceeds 10 MB maximum: {size} bytes > {MAX_IMAGE} bytes"
            )
        self._content(where, data, str(media))

    def url(self, where: str, source: Mapping[str, Any], is_image: bool) -> None:
        """Check an address, which the sandbox does not open."""
        if not str(source.get("url")).startswith("https://"):
            raise invalid(f"{where}.url.url: Only HTTPS URLs are supported")

    def file(self, where: str, source: Mapping[str, Any], is_image: bool) -> None:
        """Check an uploaded file."""
        file_id = str(source.get("file_id"))
        found = self.world.anthropic_files.get(file_id)
        if found is None:
            raise not_found(f"File not found: {file_id}")
        if found.is_expired(self.world.now()):
            error = VendorError(
                status=404, message=f"File {file_id} has expired.", code="file_expired"
            )
            raise RefusedError(error)
        if is_image != found.mime_type.startswith("image/"):
            block = "an image" if is_image else "a document"
            raise invalid(f"{where}.file: {found.mime_type} is not supported in {block} block")
        self.files[file_id] = found.path
        self._content(where, stored(found.path), found.mime_type)

    def text(self, where: str, source: Mapping[str, Any], is_image: bool) -> None:
        """Check plain text."""
        if source.get("media_type") != "text/plain":
            raise invalid(f"{where}.text.media_type: Input should be 'text/plain'")
        if not isinstance(source.get("data"), str) or not source["data"].strip():
            raise invalid(f"{where}.text.data: text content blocks must be non-empty")

    def content(self, where: str, source: Mapping[str, Any], is_image: bool) -> None:
        """Check a user's own list of blocks."""
        if not source.get("content"):
            raise invalid(f"{where}.content.content: Field required")

    def _content(self, where: str, data: bytes, media: str) -> None:
        if media == PDF:
            fault, pages = pdf_fault(data)
            if fault:
                what = "was not valid" if fault == "broken" else "is password protected"
                raise invalid(f"{where}.base64.data: The PDF specified {what}.")
            self.pages += pages
        elif media in IMAGES:
            if sniffed(data[:1024]) != media:
                raise invalid(f"{where}: Image does not match the provided media type {media}")
            most = MANY_SIDE if self.images > MANY_IMAGES else MAX_SIDE
            if longest_side(data) > most:
                raise invalid(
                    f"{where}.base64.data: At least one of the image dimensions exceed max "
                    f"allowed size: {most} pixels"
                )


_SOURCES: Final[dict[str, Callable[[_Check, str, Mapping[str, Any], bool], None]]] = {
    "base64": _Check.base64,
    "url": _Check.url,
    "file": _Check.file,
    "text": _Check.text,
    "content": _Check.content,
}
