"""Responses that others began, fetched by their ids with the real SDK's clients."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pandas as pd
import polars as pl
import pytest
from run_lab import GPT, Lab

from batchata import EventLog, read_events
from batchata.core.errors import AccountStoppedError, EventLogError, StateError, ValidationError
from batchata.core.retry import Backoff
from batchata.gateway import HttpFault, ItemFault, Scenario
from batchata.integrations.background import fetching, retrieve_background_responses
from batchata.integrations.background.checkpoint import Checkpoint
from batchata.integrations.langchain import ParquetLogger

FETCH = "openai.responses.retrieve"


@pytest.fixture
def client(lab: Lab) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=lab.box.openai_base_url, api_key="k", max_retries=0) as made:
        yield made


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    hurried = Backoff(first_seconds=0.001, most_seconds=0.01)
    monkeypatch.setattr(fetching, "_BACKOFF", hurried)


def begun(client: openai.OpenAI, count: int = 6) -> pd.DataFrame:
    """A table of responses that were begun, the way a user's own script does it."""
    made = [
        client.responses.create(model=GPT, input=f"question {number}", background=True)
        for number in range(count)
    ]
    ids = [each.id for each in made]
    return pd.DataFrame({"response_id": ids, "logger_custom_id": range(count), "other": "x"})


def retrieve(df: Any, client: Any, *args: Any, **options: Any) -> Any:
    return asyncio.run(retrieve_background_responses(df, client, *args, **options))


def fetches(lab: Lab) -> int:
    return sum(each.route == FETCH for each in lab.box.requests)


def play(lab: Lab, *faults: HttpFault, **settings: Any) -> None:
    lab.play(scenario=Scenario(http=faults, **settings))


def refusing(status: int, times: int | None = None, **more: Any) -> HttpFault:
    return HttpFault(action="status", route=FETCH, status=status, times=times, **more)


def test_the_table_comes_back_row_for_row_with_answers(lab: Lab, client: openai.OpenAI) -> None:
    df = begun(client).set_index(pd.Index(range(10, 16)))

    found = retrieve(df, client)

    expected = ["response_id", "logger_custom_id", "status", "openai_response", "error"]
    assert list(found.columns) == expected
    assert list(found.index) == list(df.index)
    assert list(found["response_id"]) == list(df["response_id"])
    assert set(found["status"]) == {"completed"}
    assert [each["id"] for each in found["openai_response"]] == list(df["response_id"])
    assert found["error"].isna().all()
    assert found["openai_response"].iloc[0]["output"][0]["content"][0]["text"]


@pytest.mark.parametrize("kind", ["sync", "async", "polars"])
def test_either_client_and_other_tables_do(lab: Lab, client: openai.OpenAI, kind: str) -> None:
    df: Any = begun(client, 3)
    used: Any = client
    if kind == "async":
        used = openai.AsyncOpenAI(base_url=lab.box.openai_base_url, api_key="k")
    elif kind == "polars":
        df = pl.from_pandas(df)

    found = retrieve(df, used)

    assert type(found) is type(df)
    assert list(found["status"]) == ["completed"] * 3
    if kind == "polars":
        assert all('"completed"' in each for each in found["openai_response"])


def test_other_columns_and_rows_without_an_id(lab: Lab, client: openai.OpenAI) -> None:
    ids = [*begun(client, 2)["response_id"], None, ""]
    df = pd.DataFrame({"rid": [*ids, ids[0]]})

    found = retrieve(df, client, response_id_col="rid")

    assert list(found["status"]) == ["completed", "completed", "error", "error", "completed"]
    assert list(found["error"])[2] == "the row has no response id"
    assert "logger_custom_id" not in found.columns
    assert fetches(lab) == 2  # the one that is there twice is asked for once


def test_each_end_is_told_as_it_is(lab: Lab, client: openai.OpenAI) -> None:
    failed = ItemFault(outcome="failed", prompt="question 1")
    cut = ItemFault(outcome="length", prompt="question 2")
    play(lab, background_seconds=1000, items=(failed, cut))
    df = begun(client, 6)
    responses = lab.box._up().responses
    for response_id in df["response_id"][:3]:
        responses[response_id].ready_at = 0.0
    client.responses.cancel(df["response_id"][3])
    del responses[df["response_id"][4]]

    found = retrieve(df, client)

    assert list(found["status"]) == [
        "completed",
        "failed",
        "incomplete",
        "cancelled",
        "expired",
        "in_progress",
    ]
    assert found["openai_response"].notna().tolist() == [True, True, True, True, False, False]
    assert "not found" in found["error"][4]


def test_what_is_still_queued_is_asked_for_by_the_next_call(
    lab: Lab, client: openai.OpenAI, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    play(lab, background_seconds=1000, background_queued_seconds=900)
    df, checkpoint = begun(client), tmp_path / "responses.db"
    responses = lab.box._up().responses
    for response_id in df["response_id"][:2]:
        responses[response_id].ready_at = 0.0

    with caplog.at_level(logging.WARNING, "batchata.background"):
        early = retrieve(df, client, checkpoint_file=checkpoint)
    for each in responses.values():
        each.ready_at = 0.0
    late = retrieve(df, client, checkpoint_file=checkpoint)

    assert Counter(early["status"]) == {"completed": 2, "queued": 4}
    assert "4 queued" in caplog.text
    assert set(late["status"]) == {"completed"}
    assert late["openai_response"].notna().all()  # those of the first call too
    assert fetches(lab) == 6 + 4


def test_waiting_asks_until_all_have_ended(lab: Lab, client: openai.OpenAI) -> None:
    play(lab, background_seconds=0.1, poll_after_ms=20)
    df = begun(client, 3)

    assert set(retrieve(df, client, wait=True)["status"]) == {"completed"}


@pytest.mark.parametrize("status", [500, 503, 429])
def test_what_cannot_be_had_is_not_checked_off(
    lab: Lab, client: openai.OpenAI, tmp_path: Path, status: int
) -> None:
    df, checkpoint = begun(client), tmp_path / "responses.db"
    play(lab, refusing(status))
    early = retrieve(df, client, max_retries=2, checkpoint_file=checkpoint)
    asked = fetches(lab)
    play(lab)
    late = retrieve(df, client, checkpoint_file=checkpoint)

    assert set(early["status"]) == {"error"}
    assert early["error"].str.contains(str(status)).all()
    assert asked == 6 * (50 if status == 429 else 2)
    assert set(late["status"]) == {"completed"}


@pytest.mark.parametrize("action", ["status", "cut", "hang", "truncate"])
def test_a_hitch_is_got_over(lab: Lab, client: openai.OpenAI, action: Any) -> None:
    df = begun(client)
    play(lab, HttpFault(action=action, route=FETCH, times=3))

    found = retrieve(df, client, timeout=0.3, batch_size=3)

    assert set(found["status"]) == {"completed"}


def test_being_told_to_slow_down_slows_all_and_is_no_failure(
    lab: Lab, client: openai.OpenAI
) -> None:
    df = begun(client)
    play(lab, refusing(429, times=20, retry_after_seconds=0.01))

    found = retrieve(df, client, max_retries=1)

    assert set(found["status"]) == {"completed"}


def test_a_refused_key_ends_it_and_keeps_what_was_fetched(
    lab: Lab, client: openai.OpenAI, tmp_path: Path
) -> None:
    df, checkpoint = begun(client), tmp_path / "responses.db"
    play(lab, refusing(401, skip=3))

    with pytest.raises(AccountStoppedError, match="401"):
        retrieve(df, client, checkpoint_file=checkpoint, batch_size=1)

    with Checkpoint(checkpoint) as kept:
        assert len(kept.known()) == 3
    assert fetches(lab) == 4


@pytest.mark.parametrize("kind", ["EventLog", "ParquetLogger"])
def test_attempts_and_ends_are_in_the_event_log(
    lab: Lab, client: openai.OpenAI, tmp_path: Path, kind: str
) -> None:
    df = begun(client, 3)
    del lab.box._up().responses[df["response_id"][2]]
    logger: Any = {"EventLog": EventLog, "ParquetLogger": ParquetLogger}[kind](tmp_path / "logs")

    found = retrieve(df, client, logger)

    events = read_events(tmp_path / "logs")  # they are there without a flush of the user's
    logger.close()
    assert Counter(events["event_type"]) == {
        "background_retrieval_attempt": 3,
        "background_retrieval_complete": 2,
        "background_retrieval_error": 1,
    }
    ends = events[events["event_type"] == "background_retrieval_complete"]
    ends = ends.sort_values("logger_custom_id").reset_index()
    response = found["openai_response"][0]
    assert list(ends["logger_custom_id"]) == ["0", "1"]
    assert list(ends["run_id"]) == list(df["response_id"][:2])
    assert ends["answer"][0] == response["output"][0]["content"][0]["text"]
    assert ends["output_tokens"][0] == response["usage"]["output_tokens"]
    assert set(events["provider"]) == {"openai"}


def test_nothing_is_checked_off_that_the_log_did_not_take(
    lab: Lab, client: openai.OpenAI, tmp_path: Path
) -> None:
    df, checkpoint = begun(client), tmp_path / "responses.db"

    class Full:
        left = 5

        def write(self, event: Any) -> None:
            self.left -= 1
            if self.left < 0:
                raise EventLogError("no room")

        def flush(self) -> bool:
            return True

    with pytest.raises(EventLogError, match="no room"):
        retrieve(df, client, Full(), checkpoint_file=checkpoint, batch_size=1)

    with Checkpoint(checkpoint) as kept:
        assert len(kept.known()) == 2


def test_no_results_are_returned_when_none_are_wanted(
    lab: Lab, client: openai.OpenAI, tmp_path: Path
) -> None:
    df, checkpoint = begun(client), tmp_path / "responses.db"

    assert retrieve(df, client, checkpoint_file=checkpoint, return_results=False) is None
    assert set(retrieve(df, client, checkpoint_file=checkpoint)["status"]) == {"completed"}
    assert fetches(lab) == 6


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PAR1 and more", "earlier logger"),
        (b"hello", "is no checkpoint"),
        (None, "does not exist"),
    ],
)
def test_a_checkpoint_that_is_none_is_left_as_it_is(
    client: openai.OpenAI, tmp_path: Path, data: bytes | None, words: str
) -> None:
    path = tmp_path / "file" if data else tmp_path / "no" / "file"
    if data:
        path.write_bytes(data)

    with pytest.raises(StateError, match=words):
        retrieve(pd.DataFrame({"response_id": []}), client, checkpoint_file=path)

    assert not data or path.read_bytes() == data


def test_another_sqlite_file_is_left_as_it_is(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (a)")
    db.close()
    before = path.read_bytes()

    with pytest.raises(StateError, match="is no checkpoint"):
        retrieve(pd.DataFrame({"response_id": ["resp_1"]}), client, checkpoint_file=path)

    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"response_id_col": "nope"}, "no column 'nope'"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_retries": 0}, "max_retries"),
        ({"timeout": 0}, "timeout"),
        ({"logger": 3}, "keeps no events"),
    ],
)
def test_bad_arguments_are_told_at_once(
    client: openai.OpenAI, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        retrieve(pd.DataFrame({"response_id": ["resp_1"]}), client, **options)


def test_strange_ids_stay_within_their_path(lab: Lab, client: openai.OpenAI) -> None:
    found = retrieve(pd.DataFrame({"response_id": ["../files", "a b?c=d", "ä"]}), client)

    assert list(found["status"]) == ["expired"] * 3
    assert {each.route for each in lab.box.requests} == {FETCH}
