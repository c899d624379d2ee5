"""Takes keys out of recorded streams, even those split over several pieces or events."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

import orjson

from batchata.gateway.proxy.interceptors.redact import Edit, Redact

Pieces = Sequence[tuple[float, bytes]]
_DATA: Final = re.compile(r"^data: ?([^\r\n]*)", re.MULTILINE)
#: fields that tell apart texts that grow side by side, event by event
_PLACES: Final = ("type", "index", "output_index", "content_index", "item_id")
_DEEPEST: Final = 32


def clean_pieces(pieces: Pieces, cleaner: Redact) -> Pieces:
    """The pieces without keys, cut where they were; unchanged if there are no keys."""
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    texts = [decode(piece, number == len(pieces)) for number, (_, piece) in enumerate(pieces, 1)]
    before = text = "".join(texts)
    ends = list(accumulate(map(len, texts)))
    for look in (_in_events, _in_text):
        edits = look(text, cleaner)
        ends = [_moved(end, edits) for end in ends]
        text = _edited(text, edits)
    if text == before:
        return pieces
    return [
        (seconds, text[start:end].encode("utf-8", "surrogateescape"))
        for (seconds, _), start, end in zip(pieces, [0, *ends], ends, strict=False)
    ]


def _in_text(text: str, cleaner: Redact) -> list[Edit]:
    return cleaner.found(text)


def _in_events(text: str, cleaner: Redact) -> list[Edit]:
    """Events to rewrite: a text in them, or one that grows over several, holds a key."""
    events = []
    for match in _DATA.finditer(text):
        try:
            events.append((match.span(1), orjson.loads(match[1].encode("utf-8", "surrogatepass"))))
        except ValueError:
            continue
    grown: dict[tuple[Any, ...], list[tuple[int, Any, Any]]] = {}
    for number, (_, event) in enumerate(events):
        for key, holder, name in _texts(event, (), grows=False, depth=0):
            own = key or (number, id(holder), name)
            grown.setdefault(own, []).append((number, holder, name))
    changed = {number for places in grown.values() for number in _cut_out(places, cleaner)}
    return [
        (*events[number][0], orjson.dumps(events[number][1]).decode()) for number in sorted(changed)
    ]


def _texts(
    value: Any, place: tuple[Any, ...], *, grows: bool, depth: int
) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """Texts in an event: the place of one that grows across events, or (), its holder and name."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        place = (*place, *[value.get(each) for each in _PLACES if _is_plain(value.get(each))])
        for name, each in value.items():
            goes_on = grows or name in ("delta", "text")
            if isinstance(each, str):
                yield (*place, name) if goes_on and name not in _PLACES else (), value, name
            else:
                yield from _texts(each, (*place, name), grows=goes_on, depth=depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, place, grows=grows, depth=depth + 1)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int))


def _cut_out(places: Sequence[tuple[int, Any, Any]], cleaner: Redact) -> Iterator[int]:
    """Take keys out of one text that grew at these places; yields the events that this changed."""
    parts = [str(holder[name]) for _, holder, name in places]
    edits = cleaner.found("".join(parts))
    if not edits:
        return
    ends = list(accumulate(map(len, parts)))
    text = _edited("".join(parts), edits)
    ends = [_moved(end, edits) for end in ends]
    for (number, holder, name), start, end in zip(places, [0, *ends], ends, strict=False):
        if holder[name] != text[start:end]:
            holder[name] = text[start:end]
            yield number


def _edited(text: str, edits: Sequence[Edit]) -> str:
    made, at = [], 0
    for start, end, instead in edits:
        made += [text[at:start], instead]
        at = end
    return "".join([*made, text[at:]])


def _moved(place: int, edits: Sequence[Edit]) -> int:
    """Where a place in the old text is in the new one; one within an edit moves to its end."""
    shift = 0
    for start, end, instead in edits:
        if place <= start:
            break
        if place < end:
            return start + shift + len(instead)
        shift += len(instead) - (end - start)
    return place + shift
