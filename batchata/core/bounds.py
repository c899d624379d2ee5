"""Upper bounds of what a request can use: never less than the vendor will count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from batchata.core.errors import ValidationError
from batchata.core.media import (
    DocumentSize,
    context_bound,
    image_bound,
    image_size,
    pdf_bound,
    text_file_bound,
)
from batchata.core.request_tools import HOSTED_ROUNDS, hosted_rounds, tools_of

#: framing tokens of a message or a block, and of a request
_PER_MESSAGE: Final = 8
_PER_REQUEST: Final = 16
#: tiers of live calls that cost more than the standard one
DEARER_TIERS: Final = frozenset({"priority", "fast", "ultrafast"})
_ONE: Final = Decimal(1)
#: what Anthropic asks for keeping a call within a country
_GEO_FACTOR: Final = Decimal("1.1")
_ANYWHERE: Final = (None, "", "global", "not_available")
#: what caps an answer, by endpoint; a cap of another endpoint is not heeded by the vendor
_CAPS: Final = {
    "/v1/chat/completions": ("max_completion_tokens", "max_tokens"),
    "/v1/completions": ("max_tokens",),
    "/v1/responses": ("max_output_tokens",),
    "/v1/messages": ("max_tokens",),
}
#: hidden prompts that Anthropic adds for tools and for structured output
_HIDDEN_PROMPT: Final = 1_024
#: tools of one set that the vendor describes
_SET_OF_TOOLS: Final = 32
#: keys by which a request draws in what the vendor keeps
_STORED: Final = ("previous_response_id", "conversation", "thread", "prompt", "web_search_options")
_OPTIONS: Final = frozenset({*_STORED, "mcp_servers", "output_config", "compaction"})
_SEVERAL: Final = frozenset({"n", "best_of", "prompt"})
#: all that bears on what a request can use, besides its texts and the cap of its answer
_BEARING: Final = _OPTIONS | _SEVERAL | {"tools", "prediction", "modalities", "inference_geo"}
#: all that an item says which stands for another one
_REFERENCE: Final = frozenset({"id", "type"})
#: the most that any model thinks at once
_LONGEST_ANSWER: Final = 128_000
_PLAIN: Final = (None, "function", "custom")
_NOTHING: Final[Mapping[str, Any]] = {}
_LISTS: Final = ("messages", "input", "system")

Sizes = Mapping[str, DocumentSize]


def output_bound(max_tokens: int, n: int = 1, request: Mapping[str, Any] = _NOTHING) -> int:
    """The most output tokens of a request, reasoning included.

    What `request` predicts is paid for, even if it does not come.
    """
    if max_tokens < 0 or n < 1:
        raise ValidationError(
            f"max_tokens is {max_tokens} and n is {n}", hint="write max_tokens=1000, n=1"
        )
    foreseen = request.get("prediction")
    if foreseen:  # no token is shorter than a byte
        max_tokens += len(orjson.dumps(foreseen, option=orjson.OPT_SERIALIZE_NUMPY))
    return max_tokens * n


def output_cap(endpoint: str | None, request: Mapping[str, Any]) -> int | None:
    """The output cap that a vendor's request body sets for one answer; None when it sets none."""
    most: int | None = None
    for name in _CAPS.get(endpoint or "", ()):
        cap = request.get(name)
        if type(cap) is int and (most is None or cap > most):
            most = cap
    return most


def answers_asked(request: Mapping[str, Any]) -> int:
    """How many answers a vendor's request body asks for; ValidationError when that is no number."""
    if _SEVERAL.isdisjoint(request):
        return 1
    counts = [request.get(name) for name in ("n", "best_of")]
    for count in counts:
        if count is not None and type(count) is not int:
            raise ValidationError(f"n or best_of is {count!r}", hint="write n: 1")
    prompts = request.get("prompt")
    # a list of texts or of token lists asks for each of them; a list of tokens is one
    several = isinstance(prompts, list) and bool(prompts) and not isinstance(prompts[0], int)
    return max(1, *(count or 1 for count in counts)) * (len(prompts or ()) if several else 1)


def text_bound(body: bytes, request: Mapping[str, Any]) -> int | None:
    """The most input tokens of a request that is nothing but texts and asks for one answer.

    None for any other, whose bound `input_bound` tells.
    """
    if not _BEARING.isdisjoint(request):
        return None
    bound = len(body) + _PER_REQUEST
    for name in _LISTS:
        items = request.get(name)
        if type(items) is list:
            for item in items:
                if type(item) is not dict or len(item) != 2 or "role" not in item:
                    return None
                if type(item.get("content")) is not str:
                    return None
            bound += _PER_MESSAGE * len(items)
        elif not (items is None or type(items) is str):
            return None
    return bound


def input_bound(
    body: bytes,
    request: Mapping[str, Any],
    *,
    provider: str,
    sizes: Sizes | None = None,
    tools: Sequence[Any] | None = None,
) -> int:
    """The most input tokens of `request`, whose JSON is `body` and whose tools are `tools`.

    No token is shorter than a byte, and JSON is never shorter than the text in it. `sizes` tells
    what is known of files, by their marker, file id, URL, file name or title.
    """
    bound = len(body) + _PER_REQUEST
    for name in _LISTS:
        items = request.get(name)
        if type(items) is list or type(items) is tuple:
            bound += _list_bound(items, request, provider, sizes)
    tools = tools_of(request) if tools is None else tools
    if tools or not _OPTIONS.isdisjoint(request):
        bound += _options_bound(request, tools, provider)
    return bound


def dearer_tier(request: Mapping[str, Any]) -> str | None:
    """The tier that a live request asks for, if it costs more than the standard one; else None."""
    for name in ("service_tier", "speed"):
        asked = request.get(name)
        if isinstance(asked, str) and asked in DEARER_TIERS:
            return asked
    return None


def price_factor(request: Mapping[str, Any]) -> Decimal:
    """What prices are multiplied by for where a request says that it is to be answered."""
    return _ONE if "inference_geo" not in request else place_factor(request["inference_geo"])


def place_factor(place: object) -> Decimal:
    """What prices are multiplied by for an answer that was made there."""
    return _ONE if place in _ANYWHERE else _GEO_FACTOR


def speaks(request: Mapping[str, Any]) -> bool:
    """True when the answer may be audio, whose tokens have a price of their own."""
    kinds = request.get("modalities")
    return isinstance(kinds, (list, tuple)) and "audio" in kinds


def _list_bound(
    items: Sequence[Any], request: Mapping[str, Any], provider: str, sizes: Sizes | None
) -> int:
    if items and type(items[0]) is int:
        return 0  # an embedding's tokens: a digit and a comma are two bytes already
    hidden = 0
    blocks = _Blocks(request, provider, sizes)
    for item in items:
        # the everyday message is a role and a text: nothing in it to look at
        if type(item) is dict and len(item) == 2 and type(item.get("content")) is str:
            continue
        hidden += blocks.item(item)
    # however much is drawn in, all of it together is no longer than a context
    return _PER_MESSAGE * len(items) + (min(hidden, context_bound(provider)) if hidden else 0)


def _options_bound(request: Mapping[str, Any], named: Sequence[Any], provider: str) -> int:
    bound = 0
    tools = [tool for tool in named if isinstance(tool, dict)]
    if provider == "anthropic":
        output = request.get("output_config")
        if isinstance(output, dict) and output.get("format"):
            bound += _HIDDEN_PROMPT
        if tools:
            bound += _HIDDEN_PROMPT
        if request.get("compaction"):
            bound += _HIDDEN_PROMPT
    drawn_in = sum([_is_drawn_in(name, request[name]) for name in _STORED if name in request])
    # the others are the caller's, and cost no more than their text
    special = [tool for tool in tools if tool.get("type") not in _PLAIN]
    drawn_in += sum([hosted_rounds(request, tool) for tool in special])
    if request.get("mcp_servers"):
        drawn_in += HOSTED_ROUNDS
    bound += drawn_in * context_bound(provider)
    return bound + sum(map(_description_bound, special))


def _description_bound(tool: Mapping[str, Any]) -> int:
    """Every tool with a type of the vendor's brings a description of its own, or a set of them."""
    return _SET_OF_TOOLS * _HIDDEN_PROMPT if "toolset" in str(tool["type"]) else _HIDDEN_PROMPT


def _is_drawn_in(name: str, value: Any) -> bool:
    if name == "prompt":  # that of the older completions is a text, and stands in the body
        return isinstance(value, dict)
    if name == "thread" and isinstance(value, dict):  # one that begins has nothing before it
        return value.get("type") != "create"
    return bool(value) or (name == "web_search_options" and value is not None)


class _Blocks:
    """Adds up what the blocks of one request cost beyond the bytes of their JSON."""

    def __init__(self, request: Mapping[str, Any], provider: str, sizes: Sizes | None) -> None:
        self.model = str(request.get("model", ""))
        self.provider = provider
        self.sizes = sizes or {}

    def item(self, node: Any) -> int:
        """Tokens of a message, or of an item: one that has only an id refers to another."""
        if isinstance(node, dict) and "id" in node and node.keys() <= _REFERENCE:
            return self.unseen(node)
        return self.extra(node)

    def extra(self, node: Any) -> int:
        """Tokens of everything below `node`, less the bytes that are no text."""
        bound, nodes = 0, node
        if isinstance(node, dict):
            measure = _MEASURES.get(str(node.get("type")))
            if measure is not None:
                return _PER_MESSAGE + measure(self, node)
            nodes = node.values()
        elif isinstance(node, (list, tuple)):
            bound = _PER_MESSAGE * len(node)
        else:
            return 0
        for each in nodes:
            if type(each) is not str:
                bound += self.extra(each)
        return bound

    def image_url(self, node: Mapping[str, Any]) -> int:
        """OpenAI: `image_url` with a URL, a data URL or a mapping of it; or a file id."""
        inner = node.get("image_url")
        place = inner if isinstance(inner, dict) else {**node, "url": inner}
        _, data = _data_url(place.get("url"))
        names = (node.get("file_id"), place.get("url"))
        return self._image(data, str(place.get("detail") or ""), names)

    def image(self, node: Mapping[str, Any]) -> int:
        """Anthropic: an image by its source."""
        source = node.get("source")
        return self._image(source.get("data") if isinstance(source, dict) else None, "", ())

    def document(self, node: Mapping[str, Any]) -> int:
        """Anthropic: a document by its source; cited text is sent in numbered pieces."""
        source = node.get("source")
        if not isinstance(source, dict):
            return 0
        kind, data = source.get("type"), source.get("data")
        if kind in ("text", "content"):
            text = data if isinstance(data, str) else ""
            cited = node.get("citations")
            again = len(text.encode("utf-8", "surrogatepass")) + _HIDDEN_PROMPT if cited else 0
            return again + self.extra(source.get("content"))
        names = (data, source.get("file_id"), source.get("url"), node.get("title"))
        return self._pdf(names) - _length(data)

    def file(self, node: Mapping[str, Any]) -> int:
        """OpenAI: a file by id, URL or data URL."""
        inner = node.get("file")
        place = inner if isinstance(inner, dict) else node
        media_type, data = _data_url(place.get("file_data"))
        names = (data, place.get("file_id"), place.get("file_url"), place.get("filename"))
        size = self._size(names)
        is_pdf = data is None or media_type == "application/pdf"
        if not is_pdf and (size is None or size.text_bytes is None):
            # text of another encoding may grow in UTF-8; office files are packed
            is_text = media_type.startswith("text/") and size is None
            known = 3 * _length(data) if is_text else context_bound(self.provider)
            return known - _length(data)
        if size is not None and size.pages is None:
            return text_file_bound(self.provider, size=size) - _length(data)
        return pdf_bound(self.provider, self.model, size=size) - _length(data)

    def arguments(self, node: Mapping[str, Any]) -> int:
        """A call of the caller's tool: whatever its arguments look like, they are text."""
        return 0

    def unseen(self, node: Mapping[str, Any]) -> int:
        """Something that the vendor keeps or fetches, of which nothing is known."""
        return context_bound(self.provider)

    def thoughts(self, node: Mapping[str, Any]) -> int:
        """OpenAI: what a model thought, which the vendor keeps unless it is in the request."""
        return 0 if node.get("encrypted_content") else _LONGEST_ANSWER

    def results(self, node: Mapping[str, Any]) -> int:
        """OpenAI: a call of the vendor's tool; what came of it may be kept there."""
        came = node.get("results") or node.get("outputs")
        return self.extra(came) if came else self.unseen(node)

    def drawn(self, node: Mapping[str, Any]) -> int:
        """OpenAI: a picture that the vendor has drawn, and may keep."""
        return self._image(node.get("result"), "", ())

    def _image(self, data: Any, detail: str, names: Iterable[Any]) -> int:
        known = self._size((data, *names))
        side = known.side if known is not None else None
        if side is None and isinstance(data, str):
            side = image_size(data)
        return image_bound(self.provider, self.model, size=side, detail=detail) - _length(data)

    def _pdf(self, names: Iterable[Any]) -> int:
        return pdf_bound(self.provider, self.model, size=self._size(names))

    def _size(self, names: Iterable[Any]) -> DocumentSize | None:
        known = (self.sizes[name] for name in names if isinstance(name, str) and name in self.sizes)
        return next(known, None)


_MEASURES: Final = {
    "image_url": _Blocks.image_url,
    "input_image": _Blocks.image_url,
    "image": _Blocks.image,
    "document": _Blocks.document,
    "file": _Blocks.file,
    "input_file": _Blocks.file,
    "tool_use": _Blocks.arguments,
    "item_reference": _Blocks.unseen,
    "computer_screenshot": _Blocks.image_url,
    "reasoning": _Blocks.thoughts,
    "web_search_call": _Blocks.results,
    "file_search_call": _Blocks.results,
    "code_interpreter_call": _Blocks.results,
    "image_generation_call": _Blocks.drawn,
    "video_url": _Blocks.unseen,
    "audio_url": _Blocks.unseen,
}


def _data_url(value: Any) -> tuple[str, str | None]:
    """Media type and base64 data of a data URL; the data is None for any other value."""
    if not isinstance(value, str) or not value.startswith("data:"):
        return "", None
    head, _, data = value.partition(",")
    return head[5:].partition(";")[0].lower(), data


def _length(data: Any) -> int:
    return len(data) if isinstance(data, str) else 0
