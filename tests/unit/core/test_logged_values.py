"""Whatever a framework hands to the event log becomes JSON, soon, and nothing raises."""

from __future__ import annotations

from typing import Any

import orjson

from batchata.core.logged import LoggedEvent, payloads, to_json
from batchata.core.redact import Redactor


class Tag:
    """A node of a parsed page: it knows its parent and its neighbours."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parent: Tag | None = None
        self.following: Tag | None = None
        self.contents: list[Tag] = []


class Mute:
    """An object that fails whatever it is asked."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def page(tags: int) -> Tag:
    root = Tag("html")
    root.contents = [Tag(f"p{number}") for number in range(tags)]
    for number, each in enumerate(root.contents):
        each.parent, each.following = root, root.contents[(number + 1) % tags]
    return root


def test_objects_that_lead_to_each_other_are_told_once_on_each_way() -> None:
    said = orjson.loads(to_json({"page": page(2)}))

    first = said["page"]["contents"][0]
    assert first["name"] == "p0"
    assert first["parent"] == "<Tag>"  # they were opened for ever: 2 ways to the power of 127
    assert first["following"]["following"] == "<Tag>"


def test_an_event_opens_a_bounded_number_of_objects() -> None:
    events = [LoggedEvent(event_type="chain_start", data={"page": page(300)})] * 3

    made = payloads(events, [0] * 3, Redactor())

    assert all(len(each) < 1_000_000 for each in made)
    assert all(orjson.loads(each)["timestamp"] == "1970-01-01T00:00:00Z" for each in made)


def test_containers_that_hold_themselves_are_named() -> None:
    inside: dict[str, Any] = {"number": 1}
    inside["again"], inside["list"] = inside, [inside]

    assert orjson.loads(to_json(inside)) == {"number": 1, "again": "<dict>", "list": ["<dict>"]}


def test_the_same_object_may_come_twice() -> None:
    tag = Tag("p")

    said = orjson.loads(to_json([tag, tag]))

    assert said[0] == said[1] == {"name": "p", "parent": None, "following": None, "contents": []}


def test_objects_that_fail_to_say_what_they_are_are_named() -> None:
    said = orjson.loads(to_json({"value": Mute(), "error": RuntimeError(Mute())}))

    assert said == {
        "value": "<Mute>",
        "error": {"type": "RuntimeError", "message": "<RuntimeError>"},
    }
