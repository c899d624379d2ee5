"""Lines of the vendors' result files, and their batch objects, in our words."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from anthropic.types.messages import MessageBatch
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Batch

from batchata.core.result import Failure, Reason
from batchata.core.status import RemoteState
from batchata.ports import Item
from batchata.providers.anthropic import batch as claude
from batchata.providers.control import ProviderSettings
from batchata.providers.openai import batch as gpt
from batchata.providers.registry import create_provider

OUTPUT: dict[str, Any] = {
    "id": "batch_req_1",
    "custom_id": "a",
    "response": {"status_code": 200, "request_id": "req_1", "body": {"id": "chatcmpl-1"}},
    "error": None,
}
ERROR: dict[str, Any] = {
    "id": "batch_req_2",
    "custom_id": "b",
    "response": {
        "status_code": 400,
        "request_id": "req_2",
        "body": {
            "error": {
                "message": "Unsupported parameter: max_tokens",
                "type": "invalid_request_error",
                "param": "messages",
                "code": None,
            }
        },
    },
    "error": None,
}
EXPIRED: dict[str, Any] = {
    "id": "batch_req_3",
    "custom_id": "c",
    "response": None,
    "error": {"code": "batch_expired", "message": "too late"},
}
SUCCEEDED: dict[str, Any] = {
    "custom_id": "a",
    "result": {"type": "succeeded", "message": {"id": "msg_1"}},
}
ERRORED: dict[str, Any] = {
    "custom_id": "b",
    "result": {
        "type": "errored",
        "error": {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "max_tokens: too many"},
            "request_id": "req_2",
        },
    },
}
LINES = {"openai": [OUTPUT, ERROR, EXPIRED], "anthropic": [SUCCEEDED, ERRORED]}
READERS: dict[str, Callable[[bytes, int, str], Item]] = {
    "openai": gpt.read_line,
    "anthropic": claude.read_line,
}
VENDORS = pytest.mark.parametrize("vendor", READERS)


def read(vendor: str, line: dict[str, Any] | bytes) -> Item:
    """One line of a vendor's file, read."""
    data = line if isinstance(line, bytes) else orjson.dumps(line)
    return READERS[vendor](data, 7, "out.jsonl")


def failure(vendor: str, line: dict[str, Any] | bytes) -> Failure:
    """Why a line has no answer."""
    found = read(vendor, line).failure
    assert found is not None
    return found


def errored(kind: str, **error: Any) -> dict[str, Any]:
    """An Anthropic line that ended with an error of this type."""
    line = copy.deepcopy(ERRORED)
    line["result"]["error"]["error"] = {"type": kind, "message": "words", **error}
    return line


def refused(status: int, **error: Any) -> dict[str, Any]:
    """An OpenAI line that ended with this status."""
    line = copy.deepcopy(ERROR)
    line["response"].update(status_code=status, body={"error": {"message": "words", **error}})
    return line


@pytest.mark.parametrize(
    ("vendor", "line", "body"),
    [("openai", OUTPUT, b'{"id":"chatcmpl-1"}'), ("anthropic", SUCCEEDED, b'{"id":"msg_1"}')],
)
def test_an_answers_body_is_taken_as_it_is(vendor: str, line: dict[str, Any], body: bytes) -> None:
    item = read(vendor, line)

    assert (item.custom_id, item.failure) == ("a", None)
    assert item.body is not None
    assert bytes(item.body) == body


@pytest.mark.parametrize(
    ("vendor", "line", "says"),
    [
        ("openai", ERROR, "Unsupported parameter: max_tokens"),
        ("anthropic", ERRORED, "max_tokens: too many"),
    ],
)
def test_a_refused_request_keeps_the_vendors_words_and_its_id(
    vendor: str, line: dict[str, Any], says: str
) -> None:
    found = failure(vendor, line)

    assert (found.reason, found.message) == (Reason.INVALID_REQUEST, says)
    assert found.request_id == "req_2"


REASONS = [
    ("openai", EXPIRED, Reason.EXPIRED),
    ("openai", {**EXPIRED, "error": {"code": "batch_cancelled"}}, Reason.VENDOR_CANCELLED),
    ("openai", refused(500), Reason.SERVER_ERROR),
    ("openai", refused(503), Reason.OVERLOADED),
    ("openai", refused(429, code="rate_limit_exceeded"), Reason.RATE_LIMITED),
    ("openai", refused(429, code="insufficient_quota"), Reason.ACCOUNT),
    ("openai", refused(400, code="content_policy_violation"), Reason.INVALID_REQUEST),
    ("anthropic", {"custom_id": "c", "result": {"type": "canceled"}}, Reason.VENDOR_CANCELLED),
    ("anthropic", {"custom_id": "c", "result": {"type": "expired"}}, Reason.EXPIRED),
    ("anthropic", errored("api_error"), Reason.SERVER_ERROR),
    ("anthropic", errored("timeout_error"), Reason.SERVER_ERROR),
    ("anthropic", errored("overloaded_error"), Reason.OVERLOADED),
    ("anthropic", errored("rate_limit_error"), Reason.RATE_LIMITED),
    ("anthropic", errored("billing_error"), Reason.ACCOUNT),
    (
        "anthropic",
        errored("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
        Reason.ACCOUNT,
    ),
]


@pytest.mark.parametrize(("vendor", "line", "reason"), REASONS)
def test_every_way_to_end_without_an_answer_has_its_reason(
    vendor: str, line: dict[str, Any], reason: Reason
) -> None:
    assert failure(vendor, line).reason is reason


@VENDORS
def test_a_line_cut_in_its_middle_is_unreadable_and_keeps_its_id(vendor: str) -> None:
    whole = orjson.dumps(LINES[vendor][0])

    item = read(vendor, whole[: len(whole) * 2 // 3])

    assert item.custom_id == "a"
    assert item.failure is not None
    assert item.failure.reason is Reason.UNREADABLE
    assert "line 7 of out.jsonl" in item.failure.message


@VENDORS
@pytest.mark.parametrize("line", [b"no json", b"{}", b"[]", b"null", b'{"custom_id": 1}', b"\xff"])
def test_a_line_without_an_id_is_unreadable(vendor: str, line: bytes) -> None:
    item = read(vendor, line)

    assert item.custom_id == ""
    assert item.failure is not None
    assert item.failure.reason is Reason.UNREADABLE


@VENDORS
def test_files_are_split_at_newlines_only(vendor: str, tmp_path: Path) -> None:
    line = orjson.dumps(LINES[vendor][0])
    strange = line[:-1] + ',"x":"a\u2028b\u2029c\u0085d"}'.encode()
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"\r\n".join([line, b"", strange, b" ", b""]))
    api = create_provider(vendor, ProviderSettings()).batch

    items = list(api.items(path))

    assert [(item.custom_id, item.failure) for item in items] == [("a", None)] * 2


@VENDORS
@pytest.mark.parametrize(
    "spoilt",
    [
        lambda line: b"\xef\xbb\xbf" + line,
        lambda line: line[:-1] + b',"logprob":NaN,"other":[-Infinity]}',
        lambda line: line[:-1] + b',"words":"caf\xe9"}',
    ],
    ids=["byte order mark", "NaN", "no UTF-8"],
)
def test_a_line_that_is_json_but_for_a_trifle_keeps_its_answer(
    vendor: str, spoilt: Callable[[bytes], bytes]
) -> None:
    item = read(vendor, spoilt(orjson.dumps(LINES[vendor][0])))

    assert (item.custom_id, item.failure) == ("a", None)
    assert orjson.loads(bytes(item.body or b""))["id"] in ("chatcmpl-1", "msg_1")


def test_a_message_that_is_missing_was_billed_all_the_same() -> None:
    item = read("anthropic", {"custom_id": "a", "result": {"type": "succeeded"}})

    assert item.failure is None
    assert bytes(item.body or b"") == b"null"


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "errors.jsonl"
    path.touch()

    assert list(create_provider("openai", ProviderSettings()).batch.items(path)) == []


def gpt_batch(**changes: Any) -> Batch:
    """An OpenAI batch as the SDK gives it."""
    fields: dict[str, Any] = {"id": "batch_1", "status": "completed", "request_counts": None}
    return Batch.model_construct(**{**fields, "errors": None, **changes})


def claude_batch(status: str, **counts: int) -> MessageBatch:
    """An Anthropic batch as the SDK gives it."""
    zero = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    return MessageBatch.construct(
        id="msgbatch_1", processing_status=status, request_counts={**zero, **counts}
    )


@pytest.mark.parametrize(
    ("word", "state"),
    [*gpt.STATES.items(), ("paused", RemoteState.RUNNING), ("COMPLETED", RemoteState.COMPLETED)],
)
def test_openais_status_words(word: str, state: RemoteState) -> None:
    look = gpt.read_batch(gpt_batch(status=word))

    assert (look.state, look.counts.total) == (state, 0)


@pytest.mark.parametrize(
    ("word", "state"), [*claude.STATES.items(), ("archived", RemoteState.RUNNING)]
)
def test_anthropics_status_words(word: str, state: RemoteState) -> None:
    look = claude.read_batch(claude_batch(word, succeeded=3, errored=1, expired=2, canceled=4))

    assert (look.state, look.counts.total) == (state, 10)
    assert (look.counts.succeeded, look.counts.failed) == (3, 7)


@pytest.mark.parametrize("said", ["4", None, [], "four", -4])
def test_counts_that_are_none_stop_no_run(said: Any) -> None:
    counts = {"total": 4, "completed": said, "failed": said}
    looks = [
        gpt.read_batch(Batch.construct(id="b", status="completed", request_counts=counts)),
        claude.read_batch(claude_batch("ended", succeeded=said, errored=said)),
    ]

    for look in looks:
        assert look.state is RemoteState.COMPLETED
        assert look.counts.succeeded == (4 if said == "4" else 0)
        assert look.counts.done >= 0


def test_a_refused_file_names_its_lines_and_its_reason() -> None:
    errors = {
        "object": "list",
        "data": [
            {"code": "duplicate_custom_id", "line": 3, "message": "seen before", "param": None},
            {"code": None, "line": None, "message": "and more", "param": None},
        ],
    }

    look = gpt.read_batch(Batch.construct(id="b", status="failed", errors=errors))

    assert look.failure is not None
    assert look.failure.message == "the vendor refused the batch: seen before (line 3); and more"
    assert look.bad_lines[3].message == "seen before"
    assert not look.is_queue_full


@pytest.mark.parametrize(
    ("code", "message", "queue", "size"),
    [
        ("token_limit_exceeded", "", True, False),
        (None, "Enqueued token limit reached for m", True, False),
        ("too_many_tasks", "", False, True),
        ("invalid_json_line", "line 2", False, False),
    ],
)
def test_files_that_may_go_again_are_told_apart(
    code: str | None, message: str, queue: bool, size: bool
) -> None:
    errors = {"data": [{"code": code, "line": None, "message": message, "param": None}]}

    look = gpt.read_batch(Batch.construct(id="b", status="failed", errors=errors))

    assert (look.is_queue_full, look.is_too_large) == (queue, size)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container inside a line, with every one of its keys."""
    inner = value.items() if isinstance(value, dict) else ()
    found = [(value, name) for name, _ in inner]
    return found + [each for _, inside in inner for each in places(inside)]


@VENDORS
@given(data=st.data())
def test_whatever_a_line_holds_is_an_item(vendor: str, data: st.DataObject) -> None:
    line = copy.deepcopy(data.draw(st.sampled_from(LINES[vendor])))
    spot, name = data.draw(st.sampled_from(places(line)))
    spot[name] = data.draw(JSON)

    item = read(vendor, line)

    assert (item.body is None) != (item.failure is None)
