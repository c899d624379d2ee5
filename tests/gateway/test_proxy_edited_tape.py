"""Cassettes that people edit, that a kill has cut, and that are added to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from raw_lab import JSON, call, request_bytes

from batchata.core.errors import ResultsError
from batchata.gateway import Gateway, Sandbox
from batchata.gateway.proxy.tape.cassette import load

GPT = "gpt-6-luna"
KEY = (b"Authorization", b"Bearer k")
GONE = "http://127.0.0.1:1"


def with_tapes(url: str, *tapes: tuple[str, Path], **options: Any) -> Gateway:
    listed = [
        {"type": kind, "config": {"directory": str(place), **(options if "y" in kind else {})}}
        for kind, place in tapes
    ]
    return Gateway(url, config={"interceptors": listed})


def asked(gateway: Gateway, content: str, **more: Any) -> bytes:
    body = {"model": GPT, "messages": [{"role": "user", "content": content}], **more}
    target, data = b"/v1/chat/completions", orjson.dumps(body)
    reply = call(gateway.url, request_bytes(target, JSON, KEY, method=b"POST", body=data))
    return b"%d " % reply.status + reply.body


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One recording, without the end of its line."""
    folder = tmp_path_factory.mktemp("tape")
    with Sandbox() as box, with_tapes(box.url, ("record", folder)) as gateway:
        asked(gateway, "known")
    return (folder / "cassette.jsonl").read_bytes().rstrip(b"\n")


@pytest.mark.parametrize(
    "written",
    [b"%b", b"\n%b\n\n", b"%b\r\n", b"\xef\xbb\xbf%b\n", b"%b\n%b"],
    ids=["no newline", "empty lines", "windows", "mark", "twice"],
)
def test_what_an_editor_does_to_a_cassette_is_no_matter(
    written: bytes, line: bytes, tmp_path: Path
) -> None:
    cassette = tmp_path / "edited.jsonl"
    cassette.write_bytes(written.replace(b"%b", line))

    with with_tapes(GONE, ("replay", cassette)) as gateway:
        assert asked(gateway, "known")[:3] == b"200"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row.pop("nth"), "it has no 'nth'"),
        (lambda row: row["response"].update(status="200"), "status is '200'"),
        (lambda row: row["response"].update(status=2000), "status is 2000"),
        (lambda row: row["response"]["headers"].update({"x-a": "b\r\nc: d"}), "the header 'x-a'"),
        (lambda row: row["response"]["headers"].update({"x-a": None}), "the header 'x-a'"),
        (lambda row: row.update(response={"status": 200, "headers": {}}), "has no json, text"),
    ],
)
def test_what_cannot_be_given_is_told_before_anything_is_asked(
    change: Callable[[Any], object], said: str, line: bytes, tmp_path: Path
) -> None:
    row = orjson.loads(line)
    change(row)
    cassette = tmp_path / "edited.jsonl"
    cassette.write_bytes(line + b"\n" + orjson.dumps(row) + b"\n")

    with pytest.raises(ResultsError, match="line 2 of") as caught:
        load(cassette)

    assert said in str(caught.value)


@pytest.mark.parametrize("cut", [0, 40], ids=["whole", "cut"])
def test_recording_goes_on_after_a_line_without_an_end(
    cut: int, line: bytes, tmp_path: Path
) -> None:
    cassette = tmp_path / "tape.jsonl"
    cassette.write_bytes(line + b"\n" + line.replace(b"known", b"other")[: -cut or None])

    with Sandbox() as box, with_tapes(box.url, ("record", cassette)) as gateway:
        asked(gateway, "new")

    names = ["known", "new"] if cut else ["known", "other", "new"]
    with with_tapes(GONE, ("replay", cassette)) as gateway:
        assert [asked(gateway, each)[:3] for each in names] == [b"200"] * len(names)


@pytest.mark.parametrize("order", [("record", "replay"), ("replay", "record")])
def test_what_a_cassette_has_not_is_added_after_what_it_has(
    order: tuple[str, str], tmp_path: Path
) -> None:
    tapes = [(kind, tmp_path) for kind in order]
    with Sandbox() as box:
        with with_tapes(box.url, ("record", tmp_path)) as gateway:
            first = asked(gateway, "again")
        with with_tapes(box.url, *tapes, miss="fallthrough") as gateway:
            given = [asked(gateway, "again") for _ in range(3)]
    with with_tapes(GONE, ("replay", tmp_path)) as gateway:
        again = [asked(gateway, "again") for _ in range(3)]

    assert again == given
    assert again == given
    assert {first[:3], *(each[:3] for each in again)} == {b"200"}


def test_requests_that_differ_in_what_is_ignored_keep_their_answers(tmp_path: Path) -> None:
    with Sandbox() as box, with_tapes(box.url, ("record", tmp_path)) as gateway:
        first = [asked(gateway, "same", user=user) for user in "abb"]
    with with_tapes(GONE, ("replay", tmp_path), ignore=["user"]) as gateway:
        again = [asked(gateway, "same", user=user) for user in "xyz"]

    assert sorted(again) == sorted(first)


@pytest.mark.parametrize(
    ("recorded", "timing", "given"),
    [
        ({"retry-after": "20"}, False, {"retry-after": "0", "retry-after-ms": "1"}),
        ({"retry-after": "0.5"}, False, {"retry-after": "0", "retry-after-ms": "1"}),
        ({"retry-after-ms": "2500.5"}, False, {"retry-after-ms": "1"}),
        ({"retry-after": "20"}, True, {"retry-after": "20"}),
        ({"retry-after": "3600"}, False, {"retry-after": "3600"}),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, False, None),
        ({"retry-after": "nan"}, False, None),
        ({}, False, None),
    ],
)
def test_a_wait_that_a_refusal_asked_for_is_not_waited_again(
    line: bytes, tmp_path: Path, recorded: dict[str, str], timing: bool, given: Any
) -> None:
    row = orjson.loads(line)
    row["response"] |= {"status": 429, "headers": {"content-type": "text/plain", **recorded}}
    cassette = tmp_path / "refused.jsonl"
    cassette.write_bytes(orjson.dumps(row))
    target, data = b"/v1/chat/completions", orjson.dumps(row["request"]["body"])

    with with_tapes(GONE, ("replay", cassette), timing=timing) as gateway:
        reply = call(gateway.url, request_bytes(target, JSON, KEY, method=b"POST", body=data))

    waits = {n.decode(): v.decode() for n, v in reply.headers if n.startswith(b"retry-after")}
    assert reply.status == 429
    assert waits == (recorded if given is None else given)
