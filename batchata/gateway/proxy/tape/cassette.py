"""Recorded exchanges: one line each, request and answer together, found by the request."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from batchata.core.errors import ResultsError
from batchata.core.redact import Redactor, is_secret_name
from batchata.gateway.proxy.exchange import Answered, Exchange
from batchata.gateway.proxy.http.headers import first
from batchata.gateway.proxy.interceptors.message_logger import logged
from batchata.gateway.proxy.interceptors.redact import Redact
from batchata.gateway.proxy.reading.sse import whole
from batchata.gateway.proxy.tape.clean_streams import Pieces, clean_pieces

FILE: Final = "cassette.jsonl"
_BOM: Final = b"\xef\xbb\xbf"
_HEADER: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+: [^\r\n\0]*", re.ASCII)
_MOST: Final = 256 * 1024 * 1024
#: endings of names under which URLs carry secrets, besides those of JSON
_SECRET: Final = ("key", "sig", "signature")
_CLEANER: Final = Redact()
_NAMED: Final = Redactor().named
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One exchange of a cassette."""

    key: bytes
    exact_key: bytes  #: includes the fields that are ignored
    nth: int  #: counts equal requests in their order
    status: int
    headers: tuple[tuple[str, str], ...]
    #: the pieces, each with the seconds since the one before
    pieces: tuple[tuple[float, bytes], ...]
    is_cut: bool = False  #: its client left after these pieces

    @property
    def place(self) -> tuple[bytes, int]:
        """What identifies it."""
        return self.exact_key, self.nth


def cassette_file(place: Path) -> Path:
    """The file to record into: the place itself if it has the name of a file."""
    return place if place.suffix == ".jsonl" else place / FILE


def target_of(target: str) -> str:
    """Path and query without secrets."""
    path, mark, query = target.partition("?")
    path = str(_CLEANER.cleaned(path))
    if not mark:
        return path
    given = parse_qsl(query, keep_blank_values=True)
    cleaned = _CLEANER.cleaned
    kept = [(cleaned(name), cleaned(value)) for name, value in given if not _is_secret(name)]
    return f"{path}?{urlencode(kept, errors='surrogateescape')}"


def _is_secret(name: str) -> bool:
    return name.lower().endswith(_SECRET) or is_secret_name(name)


def request_row(exchange: Exchange) -> Row:
    """The request as it is recorded; keys in its text are replaced."""
    target = target_of(exchange.target)
    return _cleaned({"method": exchange.method, "target": target, "body": _asked(exchange)})


def _asked(exchange: Exchange) -> Mapping[str, Any] | None:
    """The JSON of a request; for other bodies, and one on disk, what tells them apart."""
    spilled, body = exchange.spilled, exchange.body
    if spilled is not None:
        whole_body = {"bytes": spilled.size, "blake2b": spilled.digest}
    elif body and exchange.json is None:
        whole_body = {"bytes": len(body), "blake2b": blake2b(body, digest_size=16).hexdigest()}
    else:
        return exchange.json
    return {**(exchange.json or {}), "batchata_body": whole_body}


def _cleaned(request: Row) -> Row:
    body = request["body"]
    return request if body is None else {**request, "body": _CLEANER.cleaned(_NAMED(body))}


def row_key(request: Mapping[str, Any], ignore: frozenset[str] = frozenset()) -> bytes:
    """Equal for equal requests, whatever the order of their keys."""
    body = request["body"]
    if ignore and isinstance(body, Mapping):
        body = {name: value for name, value in body.items() if name not in ignore}
    return _digest([request["method"], request["target"], body])


def body_key(exchange: Exchange, *more: str) -> bytes:
    """Equal for equal requests to the same upstream, with nothing in them replaced."""
    return _digest(
        [exchange.method, exchange.upstream.base_url, exchange.target, _asked(exchange), *more]
    )


def response_row(answered: Answered) -> Row | None:
    """The answer as it is recorded; None for one that is not whole.

    A stream that its client ended is kept as far as it came.
    """
    encoding = first(answered.headers, "content-encoding")
    is_cut = answered.ending == "disconnected" and answered.is_stream and not encoding
    is_kept = answered.ending == "answered" or (is_cut and bool(answered.pieces))
    if answered.body is None or not is_kept:
        return None
    row: Row = {"status": answered.status, "headers": logged(answered.headers)}
    for name in ("content-length", "retry-after"):
        if answered.status < 400 or name == "content-length":
            row["headers"].pop(name, None)
    if answered.is_stream and not encoding:
        row["pieces"] = _paced(clean_pieces(answered.pieces, _CLEANER))
        if is_cut:
            row["is_cut"] = True
        return row
    body = whole(answered.body, encoding, _MOST)
    if body is None:  # an encoding that nothing here decodes
        row["headers"]["content-encoding"] = encoding
        body = answered.body
    return row | _body_row(body, first(answered.headers, "content-type"))


def _paced(pieces: Pieces) -> list[list[Any]]:
    before, rows = 0.0, []
    for seconds, piece in pieces:
        gap, before = max(0.0, seconds - before), seconds
        try:
            rows.append([round(gap, 4), piece.decode()])
        except UnicodeDecodeError:  # cut within a character
            rows.append([round(gap, 4), {"base64": base64.b64encode(piece).decode()}])
    return rows


def _body_row(body: bytes, kind: str) -> Row:
    if "json" in kind.lower():
        try:
            found = orjson.loads(body)
            if orjson.dumps(found) == body:  # else its spelling would be lost
                return {"json": _CLEANER.cleaned(_NAMED(found))}
        except ValueError:
            pass
    if "event-stream" in kind.lower():
        [(_, body)] = clean_pieces([(0.0, body)], _CLEANER)
    try:
        return {"text": _CLEANER.cleaned(body.decode())}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def load(place: Path, ignore: frozenset[str] = frozenset()) -> dict[bytes, list[Recorded]]:
    """All recordings of a folder, or of one file, by key, in the order they were asked.

    A folder of a batch run counts too: its raw files are questions and answers. Raises
    ResultsError when there is none, or one cannot be read.
    """
    if not place.exists():
        raise ResultsError(
            f"there is no {str(place)!r} to replay", hint="record one with --record DIR"
        )
    found: dict[bytes, dict[tuple[bytes, int], Recorded]] = {}
    for recorded in _batch_recordings(place, ignore):
        found.setdefault(recorded.key, {}).setdefault(recorded.place, recorded)
    for path in [place] if place.is_file() else sorted(place.glob("*.jsonl")):
        if path.name != "results.jsonl":
            for recorded in _recordings(path, ignore):
                # the later recording counts
                found.setdefault(recorded.key, {})[recorded.place] = recorded
    if not found:
        raise ResultsError(
            f"{str(place)!r} holds no recordings", hint="record some with --record DIR"
        )
    return {
        key: sorted(each.values(), key=lambda recorded: recorded.nth) for key, each in found.items()
    }


def _recordings(path: Path, ignore: frozenset[str]) -> Iterator[Recorded]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(_BOM).strip()
            try:
                if text:
                    yield _recorded(orjson.loads(text), ignore)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                if isinstance(error, orjson.JSONDecodeError) and not line.endswith(b"\n"):
                    return  # the process ended within this line
                said = f"it has no {error}" if isinstance(error, KeyError) else error
                raise ResultsError(
                    f"line {number} of {str(path)!r} is not a recording: {said}",
                    hint="correct or remove the line, or record again; each recording is one line",
                ) from error


def _recorded(row: Row, ignore: frozenset[str]) -> Recorded:
    request, response = row["request"], row["response"]
    nth, status, headers = row["nth"], response["status"], response["headers"]
    if type(nth) is not int or type(status) is not int or not 200 <= status <= 599:
        raise ValueError(f"nth is {nth!r} and status is {status!r}")
    for name, value in headers.items():
        if not isinstance(value, str) or not _HEADER.fullmatch(f"{name}: {value}"):
            raise ValueError(f"the header {name!r} is {value!r}")
    return Recorded(
        key=row_key(request, ignore),
        exact_key=row_key(request),
        nth=nth,
        status=status,
        headers=tuple(headers.items()),
        pieces=_pieces_of(response),
        is_cut=response.get("is_cut") is True,
    )


def _pieces_of(response: Mapping[str, Any]) -> tuple[tuple[float, bytes], ...]:
    if "pieces" in response:
        return tuple((float(gap), _bytes_of(each)) for gap, each in response["pieces"])
    if "json" in response:
        return ((0.0, orjson.dumps(response["json"])),)
    return ((0.0, _bytes_of(response.get("text", response))),)


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, Mapping) or "base64" not in value:
        raise ValueError("its response has no json, text, base64 or pieces")
    return base64.b64decode(value["base64"], validate=True)


def _batch_recordings(folder: Path, ignore: frozenset[str]) -> Iterator[Recorded]:
    """Questions and answers of a run, from the files of its batches and of its live calls."""
    raw = folder / "raw_files"
    asked: dict[tuple[str, int], Row] = {}
    for path in sorted((raw / "requests").glob("*")):
        for line in _json_rows(path):
            body = line.get("body") or line.get("params")
            target = line.get("url") or line.get("endpoint") or "/v1/messages"
            asked[_call(line)] = {"method": "POST", "target": target, "body": body}
    counts: Counter[bytes] = Counter()
    for path in sorted((raw / "responses").glob("*")):
        for line in _json_rows(path):
            request = asked.get(_call(line))
            response = line.get("response") or {}
            message = (line.get("result") or {}).get("message") or response.get("body")
            if "received_us" in line and not line.get("error"):
                message = line.get("body")
            if request is None or message is None:
                continue
            cleaned = _cleaned(request)
            exact_key = row_key(cleaned)
            counts[exact_key] += 1
            yield Recorded(
                key=row_key(cleaned, ignore),
                exact_key=exact_key,
                nth=counts[exact_key],
                status=response.get("status_code", 200),
                headers=(("content-type", "application/json"),),
                pieces=((0.0, orjson.dumps(message)),),
            )


def _call(line: Mapping[str, Any]) -> tuple[str, int]:
    """What pairs a request with its response."""
    return line.get("custom_id") or line.get("job_id") or "", line.get("sent_us") or 0


def _json_rows(path: Path) -> Iterator[Row]:
    try:
        if path.suffix == ".jsonl":
            with path.open("rb") as file:
                yield from (orjson.loads(line) for line in file if line.strip())
        elif path.suffix == ".json":
            found = orjson.loads(path.read_bytes())
            yield from found.get("requests", ()) if isinstance(found, dict) else ()
    except (ValueError, AttributeError) as error:
        raise ResultsError(f"{str(path)!r} cannot be read: {error}") from error


def _digest(value: Any) -> bytes:
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # numbers beyond 64 bits
        text = repr(value).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=16).digest()
