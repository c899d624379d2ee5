"""The lines of an answer with the fields they are for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from batchata.core.citing.field_shape import FieldShape
from batchata.core.citing.paths import Path, field_shape, parse_path

_BULLET: Final = re.compile(r"^(\s*)((?:[-*•+>#]|\d{1,3}[.)])\s+)*")
#: a colon (Japanese and Chinese ones too), equals sign, bar or dash parts label and value
_LABEL: Final = re.compile(
    "^([^:=\uff1a|]{1,200}?)\\s*(?:[:=\uff1a|]|\\s[-\u2013\u2014]\\s)\\s*(.*)$", re.DOTALL
)
_FURTHER: Final = re.compile(
    r"(?:\s*[;|]\s*|,\s+|\s{2,})\**([A-Za-z_][\w.\[\] -]{0,80}?)\**\s*[:=]\s*"
)
_EMPHASIS: Final = re.compile(r"(?<!\w)(\*\*|__|\*|`)(?=\S)(.+?)(?<=\S)\1(?!\w)")
_QUOTES: Final = ('""', "“”", "«»", "„“", "''", "``")
_MOST_LINES: Final = 20_000
_MOST_SPLITS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Line:
    """A field and what is said of it."""

    path: Path
    value: str
    is_required: bool = True


def lines_of(text: str, root: FieldShape) -> Iterator[Line]:
    """The labelled lines of `text` in order; a line without label goes on with the one before."""
    heading: Path = ()
    last: Line | None = None
    for raw in text.splitlines()[:_MOST_LINES]:
        if not raw.strip() or re.fullmatch(r"[\s|:\-=]+|\s*```\w*\s*", raw):
            continue
        found = _labelled(raw, root, heading)
        if found is None:
            last = _continued(last, raw, root)
            continue
        if last is not None:
            yield from _split(last, root)
        last = found
        shape = field_shape(root, found.path)
        if not found.value and shape is not None and (shape.is_object or shape.item):
            heading = found.path
    if last is not None:
        yield from _split(last, root)


def _labelled(raw: str, root: FieldShape, heading: Path) -> Line | None:
    bullet = _BULLET.match(raw)
    inner = raw[bullet.end() :] if bullet else raw
    is_inside = bool(bullet and bullet.group().strip("\r\n"))
    if inner.strip().startswith("|"):
        inner = inner.strip().strip("|").strip()
    label = _LABEL.match(_unmarked(inner))
    if label is None:
        return None
    starts = ((heading, ()) if is_inside else ((), heading)) if heading else ((),)
    for start in starts:
        path = parse_path(label.group(1), root, start)
        if path is not None:
            value = label.group(2).strip().strip("|").strip()
            return Line(path, unquoted(value), _is_required(root, path))
    return None


def _is_required(root: FieldShape, path: Path) -> bool:
    owner = field_shape(root, path[:-1])
    return owner is not None and path[-1] in owner.required


def _continued(last: Line | None, raw: str, root: FieldShape) -> Line | None:
    """Further lines of a text, or the items of a list, one in each line."""
    if last is None:
        return None
    shape = field_shape(root, last.path)
    if shape is None or shape.is_object:
        return last
    bare = unquoted(_unmarked(_BULLET.sub("", raw, count=1)).strip())
    if shape.item is not None:
        joined = f"{last.value}; {bare}" if last.value else bare
    elif not last.value or "string" in shape.types:
        joined = f"{last.value} {bare}".strip()
    else:
        return last
    return replace(last, value=joined)


def _split(line: Line, root: FieldShape) -> Iterator[Line]:
    """Several fields in one line: "a: 1; b: 2"."""
    start = 0
    path, is_required = line.path, line.is_required
    for found in islice(_FURTHER.finditer(line.value), _MOST_SPLITS):
        further = parse_path(found.group(1), root) or parse_path(found.group(1), root, path[:-1])
        if further is None or not _is_new_field(found.group(), further, root, path):
            continue
        yield Line(path, unquoted(line.value[start : found.start()].strip()), is_required)
        path, start = further, found.end()
        is_required = _is_required(root, path)
    yield Line(path, unquoted(line.value[start:].strip()) if start else line.value, is_required)


def _is_new_field(separator: str, further: Path, root: FieldShape, current: Path) -> bool:
    """Within a text a comma and a common word are no new field; a path is."""
    if further == current:
        return False
    shape = field_shape(root, current)
    is_text = shape is not None and not shape.values and shape.types <= {"string", "null"}
    label = separator.strip(" ,;|").rstrip(" :=")
    return not is_text or not separator.lstrip().startswith(",") or not label.isalpha()


def _unmarked(text: str) -> str:
    return _EMPHASIS.sub(lambda found: found.group(2), text)


def unquoted(text: str) -> str:
    """Without bold type and without quotes around all of it."""
    text = _unmarked(text).strip()
    if text.endswith(("**", "__")) or text.startswith("**"):
        text = text.strip("*_ ")
    for opening, closing in _QUOTES:
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
            inner = text[1:-1]
            return inner if opening not in inner and closing not in inner else text
    return text
