"""What OpenAI refuses about the files and images of a request."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from batchata.gateway.sandbox.media import IMAGES, PDF, data_url, pdf_fault, sniffed
from batchata.gateway.sandbox.openai.files import find
from batchata.gateway.sandbox.upstream import ModelRequest
from batchata.gateway.sandbox.world import World
from batchata.gateway.wire.errors import invalid
from batchata.gateway.wire.openai import ChatRequest, ResponsesRequest

MAX_FILE: Final = 50 * 1024 * 1024
MAX_IMAGES: Final = 1_500
READABLE: Final = ("user_data", "assistants", "vision")
SUPPORTED: Final = ("png", "jpeg", "gif", "webp")

Place = tuple[str, Mapping[str, Any]]


def check_media(world: World, request: ModelRequest) -> None:
    """Check every file and image of a request."""
    sizes = images = 0
    for where, part in _places(request):
        if part.get("type") in ("image_url", "input_image"):
            images += 1
            _check_image(world, where, part)
        elif part.get("type") in ("file", "input_file"):
            sizes += _check_file(world, where, part)
    if sizes > MAX_FILE:
        raise invalid(
            f"The files of this request have {sizes} bytes, the limit is {MAX_FILE} bytes.",
            code="file_too_large",
        )
    if images > MAX_IMAGES:
        raise invalid(f"Too many images: {images}, the limit is {MAX_IMAGES}.")


def _places(request: ModelRequest) -> Iterator[Place]:
    name, items = "input", []
    if isinstance(request, ChatRequest):
        name, items = "messages", [(message.content) for message in request.messages]
    elif isinstance(request, ResponsesRequest) and not isinstance(request.input, str):
        items = [item.get("content") for item in request.input]
    for number, content in enumerate(items):
        if isinstance(content, list):
            for index, part in enumerate(content):
                yield f"{name}[{number}].content[{index}]", part


def _check_image(world: World, where: str, part: Mapping[str, Any]) -> None:
    if part.get("file_id") is not None:
        _find(world, f"{where}.file_id", part["file_id"])
        return
    inner = part.get("image_url")
    url = inner.get("url") if isinstance(inner, dict) else inner
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return
    found = data_url(url)
    if found is None:
        raise invalid(
            f"Invalid '{where}.image_url'. Expected a valid URL or a base64-encoded data URL.",
            param=f"{where}.image_url",
            code="invalid_value",
        )
    if found.media_type not in IMAGES or sniffed(found.data[:1024]) != found.media_type:
        raise invalid(
            "You uploaded an unsupported image. Please make sure your image has of one the "
            f"following formats: {list(SUPPORTED)}.",
            code="invalid_image_format",
        )


def _check_file(world: World, where: str, part: Mapping[str, Any]) -> int:
    inner = part.get("file") if part["type"] == "file" else part
    place = inner if isinstance(inner, dict) else {}
    where = f"{where}.file" if part["type"] == "file" else where
    if place.get("file_id") is not None:
        return _find(world, f"{where}.file_id", place["file_id"])
    if place.get("file_url") is not None and part["type"] == "input_file":
        return 0
    if "file_data" not in place:
        raise invalid(
            f"Missing required parameter: '{where}.file_id'.",
            param=f"{where}.file_id",
            code="missing_required_parameter",
        )
    found = data_url(place["file_data"])
    if found is None:
        raise invalid(
            f"Invalid '{where}.file_data'. Expected a base64-encoded data URL with a MIME type.",
            param=f"{where}.file_data",
            code="invalid_value",
        )
    if found.media_type == PDF and pdf_fault(found.data)[0] == "broken":
        raise invalid("The file you uploaded is not a valid PDF.", code="invalid_file")
    return len(found.data)


def _find(world: World, where: str, file_id: object) -> int:
    found = find(world, str(file_id))
    if found.purpose not in READABLE:
        raise invalid(
            f"Invalid '{where}': a file with the purpose '{found.purpose}' cannot be read here.",
            param=where,
            code="invalid_value",
        )
    return found.size
