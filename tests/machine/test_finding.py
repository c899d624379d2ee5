"""How each vendor's listing tells whether it has a batch."""

from __future__ import annotations

import asyncio
from array import array
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from batchata.core.errors import ProviderRejectedError
from batchata.core.status import SubmissionStatus
from batchata.core.submission import Submission
from batchata.ports import CannotTell, Found, Lookup, NotThere
from batchata.providers.anthropic.batch import AnthropicBatch
from batchata.providers.connection import Connection
from batchata.providers.openai.batch import OpenAIBatch

SENT = datetime(2026, 11, 21, 12, tzinfo=UTC)
TOKEN = "b0123456789abcde"
OURS = b'{"custom_id":"%s_q0","result":{"type":"canceled"}}\n' % TOKEN.encode()
FOREIGN = b'{"custom_id":"someone-1","result":{"type":"canceled"}}\n'


def submission(**changes: Any) -> Submission:
    """Two jobs whose create call has no answer."""
    sent_us = int(SENT.timestamp() * 1e6)
    facts: dict[str, Any] = {"intended_us": sent_us, "sent_us": sent_us, **changes}
    return Submission(
        token=TOKEN,
        provider="any",
        endpoint="/v1/any",
        model="any",
        wire_version="",
        seqs=array("I", [0, 1]),
        status=SubmissionStatus.UNRESOLVED,
        **facts,
    )


class Listing:
    """Pages of whatever is listed."""

    def __init__(self, rows: list[Any], page_size: int = 2) -> None:
        self.rows = rows
        self.page_size = page_size
        self.asked = 0

    async def list(self, **query: Any) -> Any:
        """One page, newest first."""
        self.asked += 1
        after = query.get("after") or query.get("after_id")
        start = next((n for n, row in enumerate(self.rows, 1) if row.id == after), 0)
        page = self.rows[start : start + self.page_size]
        more = len(self.rows) > start + self.page_size
        return SimpleNamespace(data=page, has_more=more, last_id=page[-1].id if page else None)


class Results:
    """Heads of result files by batch id; an error for those that cannot be read."""

    def __init__(self, **heads: bytes) -> None:
        self.heads = heads

    async def head(self, url: str, headers: Any, size: int = 0) -> bytes:
        """The beginning of a file."""
        head = self.heads.get(url.split("/")[-2])
        if head is None:
            raise ProviderRejectedError("401", status=401)
        return head


def message_batch(name: str, *, at: datetime = SENT, count: int = 2, ended: bool = True) -> Any:
    """A row of Anthropic's listing."""
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    counts["succeeded" if ended else "processing"] = count
    return SimpleNamespace(
        id=name,
        processing_status="ended" if ended else "in_progress",
        results_url=f"https://api.test/v1/messages/batches/{name}/results" if ended else None,
        created_at=at,
        request_counts=SimpleNamespace(**counts),
    )


def find_message_batch(
    rows: list[Any], known: frozenset[str] = frozenset(), **heads: bytes
) -> Lookup:
    """What Anthropic's listing says of our submission."""
    client = SimpleNamespace(
        base_url="https://api.test",
        default_headers={},
        auth_headers={},
        messages=SimpleNamespace(batches=Listing(rows)),
    )
    api = AnthropicBatch(Connection(lambda: client), Results(**heads))  # type: ignore[arg-type]
    return asyncio.run(api.find(submission(), known))


def file_batch(name: str, *, token: str | None = None, at: datetime = SENT, file: str = "") -> Any:
    """A row of OpenAI's listing."""
    return SimpleNamespace(
        id=name,
        metadata={"batchata_submission": token} if token else None,
        input_file_id=file,
        created_at=int(at.timestamp()),
    )


def find_file_batch(
    rows: list[Any], known: frozenset[str] = frozenset(), **changes: Any
) -> tuple[Lookup, Listing]:
    """What OpenAI's listing says of our submission."""
    listing = Listing(rows)
    client = SimpleNamespace(batches=listing)
    api = OpenAIBatch(Connection(lambda: client), None)  # type: ignore[arg-type]
    return asyncio.run(api.find(submission(**changes), known)), listing


def test_anthropic_knows_a_batch_by_the_token_in_its_results() -> None:
    rows = [message_batch("a"), message_batch("b"), message_batch("c")]

    found = find_message_batch(rows, a=FOREIGN, b=OURS, c=FOREIGN)

    assert found == Found("b")


def test_anthropic_has_no_batch_where_all_of_that_time_and_size_are_others() -> None:
    rows = [message_batch("a"), message_batch("b", count=3), message_batch("c")]

    assert find_message_batch(rows, a=FOREIGN, c=FOREIGN) == NotThere()


def test_anthropic_cannot_tell_while_a_batch_of_that_size_runs() -> None:
    rows = [message_batch("a", ended=False), message_batch("b")]

    assert isinstance(find_message_batch(rows, b=FOREIGN), CannotTell)


@pytest.mark.parametrize("head", [None, b"", b'{"result":{"type":"canceled"}'])
def test_anthropic_cannot_tell_where_results_do_not_show_whose_they_are(
    head: bytes | None,
) -> None:
    heads = {} if head is None else {"a": head}

    assert isinstance(find_message_batch([message_batch("a")], **heads), CannotTell)


def test_anthropic_reads_on_when_the_first_line_is_torn() -> None:
    head = b'{"custom_id": "torn\n' + OURS

    assert find_message_batch([message_batch("a")], a=head) == Found("a")


def test_anthropic_batches_of_other_submissions_are_no_candidates() -> None:
    rows = [message_batch("a", ended=False)]

    assert find_message_batch(rows, frozenset({"a"})) == NotThere()


@pytest.mark.parametrize("minutes", [-50, -5, 5, 50])
def test_a_clock_that_is_wrong_by_most_of_an_hour_hides_no_batch(minutes: int) -> None:
    at = SENT + timedelta(minutes=minutes)

    assert find_message_batch([message_batch("a", at=at)], a=OURS) == Found("a")
    assert find_file_batch([file_batch("a", token=TOKEN, at=at)])[0] == Found("a")


def test_openai_knows_a_batch_by_its_metadata_on_any_page() -> None:
    rows = [file_batch(f"n{number}", token="other") for number in range(7)]
    rows.append(file_batch("ours", token=TOKEN))

    assert find_file_batch(rows)[0] == Found("ours")


def test_openai_knows_a_batch_by_its_file_where_metadata_is_not_kept() -> None:
    assert find_file_batch([file_batch("a", file="file-1")], input_ref="file-1")[0] == Found("a")


def test_a_batch_of_the_same_file_that_is_known_already_is_not_found_again() -> None:
    rows = [file_batch("old", file="file-1")]

    assert find_file_batch(rows, frozenset({"old"}), input_ref="file-1")[0] == NotThere()


def test_openai_is_not_asked_for_years_of_batches() -> None:
    rows = [file_batch(f"n{n}", at=SENT - timedelta(days=n)) for n in range(100)]

    found, listing = find_file_batch(rows)

    assert found == NotThere()
    assert listing.asked == 2


def test_an_upload_is_known_by_its_name_and_its_size(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_bytes(b"12345")
    name, at = f"batchata_{TOKEN}.jsonl", int(SENT.timestamp())
    rows = [
        SimpleNamespace(id="torn", filename=name, bytes=3, created_at=at),
        SimpleNamespace(id="other", filename="other.jsonl", bytes=5, created_at=at),
        SimpleNamespace(id="whole", filename=name, bytes=5, created_at=at),
    ]
    client = SimpleNamespace(files=Listing(rows))
    api = OpenAIBatch(Connection(lambda: client), None)  # type: ignore[arg-type]

    assert asyncio.run(api.uploaded(submission(), path)) == "whole"
