"""Models and vendors that answer badly: rows out = rows in, and nothing doubtful is kept."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pandas as pd
import pytest
from extraction_lab import FrameLab, Rows, good, well
from pydantic import BaseModel, field_validator

from batchata.core.errors import AccountStoppedError, StateError
from batchata.frames import SqliteCache
from batchata.gateway import HttpFault, ItemFault, Scenario, with_faults

COUNT = 20
FRAME = pd.DataFrame({"id": range(COUNT), "text": [f"text {n}" for n in range(COUNT)]})


def drops_last(rows: Rows) -> Any:
    return well(rows[:-1])


def alters_ids(rows: Rows) -> Any:
    return {"all_results": [{**good(row), "input_id": f"row {row['input_id']}"} for row in rows]}


def has_no_ids(rows: Rows) -> Any:
    found = well(rows)
    for row in found["all_results"]:
        del row["input_id"]
    return found


def has_one_id(rows: Rows) -> Any:
    return {"all_results": [{**good(row), "input_id": rows[0]["input_id"]} for row in rows]}


def doubles_first(rows: Rows) -> Any:
    return {"all_results": [good(rows[0]), *(good(row) for row in rows)]}


def adds_strangers(rows: Rows) -> Any:
    return {"all_results": [*(good(row) for row in rows), {**good(rows[0]), "input_id": "999"}]}


def only_in_packs(fault: Callable[[Rows], Any]) -> Callable[[Rows], Any]:
    """The fault, but for a row that is asked alone."""
    return lambda rows: fault(rows) if len(rows) > 1 else well(rows)


def check_whole(out: pd.DataFrame, tables: FrameLab) -> None:
    """Every row is there, in order, with an answer of its own or a reason."""
    assert out.input_id.tolist() == list(range(COUNT))
    succeeded = out.status == "succeeded"
    moods = out.get("mood", out.error)[succeeded].tolist()
    assert moods == [f"mood of text {n}" for n in out.input_id[succeeded]]
    assert out.error[~succeeded].notna().all()
    with SqliteCache(tables.cache) as cache:
        assert cache.all_ids() == {str(n) for n in out.input_id[succeeded]}


PACK_FAULTS = [drops_last, has_one_id, doubles_first, has_no_ids, alters_ids]


@pytest.mark.parametrize("fault", PACK_FAULTS)
def test_rows_that_a_pack_mixes_up_are_asked_again_alone(
    tables: FrameLab, fault: Callable[[Rows], Any]
) -> None:
    tables.model.reply = only_in_packs(fault)

    out = tables.extract(FRAME)
    asked = len(tables.model.asked)
    again = tables.extract(FRAME)

    check_whole(out, tables)
    assert set(out.status) == {"succeeded"}
    assert again.equals(out)
    alone = [pack[0] for pack in tables.model.packs if len(pack) == 1]
    assert max(Counter(alone).values()) == 1
    assert len(tables.model.asked) == asked == COUNT + len(alone)


@pytest.mark.parametrize("fault", [drops_last, alters_ids])
def test_rows_that_are_never_answered_fail_with_the_raw_text_and_are_not_kept(
    tables: FrameLab, fault: Callable[[Rows], Any]
) -> None:
    tables.model.reply = fault

    out = tables.extract(FRAME)
    first = len(tables.model.asked)
    tables.model.reply = well
    again = tables.extract(FRAME)

    check_whole(again, tables)
    failed = out[out.status == "failed"]
    assert failed.error.str.contains("input_id").all()
    assert failed.error.str.contains("all_results").all()
    assert first <= 2 * COUNT
    assert set(again.status) == {"succeeded"}
    assert len(tables.model.asked) - first == len(failed)


def test_a_row_without_its_answer_is_told_which_others_came_in_its_place(
    tables: FrameLab,
) -> None:
    tables.model.reply = alters_ids

    out = tables.extract(FRAME)

    alone = out[out.status == "failed"].iloc[0]
    assert f"it has rows for 'row {alone.input_id}', which were not sent" in alone.error


def test_rows_that_were_not_sent_are_left_out(tables: FrameLab) -> None:
    tables.model.reply = adds_strangers

    out = tables.extract(FRAME, schema=None)

    check_whole(out, tables)
    assert set(out.status) == {"succeeded"}


@pytest.mark.parametrize(
    "answer",
    ['{"all_results": []}', '{"strange": 1}', '{"all_results": [{"input_', "", "I cannot.", "[1]"],
)
def test_answers_without_rows_fail_every_row_and_cost_two_calls_a_row_at_most(
    tables: FrameLab, answer: str
) -> None:
    tables.model.reply = lambda rows: answer

    out = tables.extract(FRAME, schema=None)

    check_whole(out, tables)
    assert set(out.status) == {"failed"}
    assert len(tables.model.packs) == COUNT // 5 + COUNT


@pytest.mark.parametrize("name", ["results", "all results", None])
def test_rows_come_under_any_of_the_known_names(tables: FrameLab, name: str | None) -> None:
    def reply(rows: Rows) -> Any:
        answers = [good(row) for row in rows]
        return answers if name is None else {name: answers}

    tables.model.reply = reply

    out = tables.extract(FRAME, schema=None)

    check_whole(out, tables)
    assert set(out.status) == {"succeeded"}


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "text", ["Here:\n```json\n%s\n```\nThat is all.", "<think>Hm.</think>\n%s", "\ufeff%s\n"]
)
def test_words_fences_and_thoughts_around_the_rows_do_no_harm(
    tables: FrameLab, text: str, backend: str
) -> None:
    tables.model.reply = lambda rows: text % json.dumps(well(rows))

    out = tables.extract(FRAME, schema=None, backend=backend)

    check_whole(out, tables)
    assert set(out.status) == {"succeeded"}


def test_one_bad_field_spoils_one_row_of_its_pack(tables: FrameLab) -> None:
    def reply(rows: Rows) -> Any:
        found = well(rows)
        for row in found["all_results"]:
            if row["input_id"] == "7":
                row["length"] = "long"
        return found

    tables.model.reply = reply

    out = tables.extract(FRAME)

    check_whole(out, tables)
    assert out[out.status == "failed"].input_id.tolist() == [7]
    assert "length" in out.error[7]
    assert Counter(map(len, tables.model.packs)) == {5: 4, 1: 1}


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_refused_packs_are_asked_again_row_by_row(tables: FrameLab, backend: str) -> None:
    tables.box.set_scenario(Scenario(items=(ItemFault(outcome="refusal", prompt="text 7"),)))

    out = tables.extract(FRAME, backend=backend)

    check_whole(out, tables)
    assert out[out.status == "failed"].input_id.tolist() == [7]
    assert "refused" in out.error[7]


@pytest.mark.parametrize("rest", ["", " " * 4000], ids=["broken", "readable"])
@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_cut_answers_are_never_kept(tables: FrameLab, backend: str, rest: str) -> None:
    tables.model.reply = lambda rows: json.dumps(well(rows)) + rest
    tables.box.set_scenario(Scenario(items=(ItemFault(outcome="length", prompt="text 7"),)))

    out = tables.extract(FRAME, backend=backend)

    check_whole(out, tables)
    assert out[out.status == "failed"].input_id.tolist() == [7]
    assert "max_tokens" in out.error[7]


@pytest.mark.parametrize("faults", ["live-rate-limit", "live-cut-after"])
def test_vendors_that_stumble_are_asked_again(tables: FrameLab, faults: str) -> None:
    tables.box.set_scenario(with_faults(Scenario(), faults))

    out = tables.extract(FRAME)

    check_whole(out, tables)
    assert set(out.status) == {"succeeded"}


def test_a_bad_key_ends_the_run_at_once_and_keeps_what_was_answered(
    tables: FrameLab, caplog: pytest.LogCaptureFixture
) -> None:
    fault = HttpFault(action="status", status=401, times=None, skip=2, code="invalid_api_key")
    tables.box.set_scenario(Scenario(http=(fault,)))

    with pytest.raises(AccountStoppedError):
        tables.extract(FRAME, max_workers=1)

    assert f"call extract_df again with cache_path={str(tables.cache)!r} to go on" in caplog.text
    assert "batchata resume" not in caplog.text
    tables.box.set_scenario(Scenario())
    asked = len(tables.model.asked)
    out = tables.extract(FRAME)
    check_whole(out, tables)
    assert asked == 10
    assert len(tables.model.asked) == COUNT
    assert not tables.cache.with_name("answers.sqlite.run").exists()


def test_a_refused_request_is_sent_once(tables: FrameLab) -> None:
    fault = HttpFault(action="status", status=400, times=None, code="invalid_request_error")
    tables.box.set_scenario(Scenario(http=(fault,)))

    out = tables.extract(FRAME)

    assert set(out.status) == {"failed"}
    assert len(tables.box.requests) == COUNT // 5


def test_a_request_that_one_row_spoils_is_asked_again_row_by_row(tables: FrameLab) -> None:
    fault = HttpFault(action="status", status=400, times=None, contains="text 7")
    tables.box.set_scenario(Scenario(http=(fault,)))

    out = tables.extract(FRAME)

    check_whole(out, tables)
    assert out[out.status == "failed"].input_id.tolist() == [7]


class Worded(BaseModel):
    """A row whose validator stumbles over some of its own answers."""

    mood: str
    length: int

    @field_validator("mood")
    @classmethod
    def known(cls, mood: str) -> str:
        return {"mood of text 3": {}}[mood]["nothing"] if mood.endswith(" 3") else mood


def test_a_validator_that_raises_spoils_its_row_only(tables: FrameLab) -> None:
    out = tables.extract(FRAME, schema=Worded)

    assert out.status.tolist() == ["failed" if n == 3 else "succeeded" for n in range(COUNT)]
    assert "its validator raised KeyError" in out.error[3]


def test_no_digit_of_a_long_number_is_lost(tables: FrameLab) -> None:
    number = 12345678901234567890123
    tables.model.reply = lambda rows: json.dumps(
        {"all_results": [{**good(row), "length": number} for row in rows]}
    )

    out = tables.extract(FRAME.head(2))
    again = tables.extract(FRAME.head(2))

    assert out.length.tolist() == again.length.tolist() == [number, number]
    assert len(tables.model.asked) == 2


def test_answers_that_the_cache_cannot_take_are_taken_by_the_next_call(tables: FrameLab) -> None:
    SqliteCache(tables.cache).close()
    with closing(sqlite3.connect(tables.cache)) as db, db:
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(FAIL,'full'); END"
        )

    with pytest.raises(StateError, match="full"):
        tables.extract(FRAME)

    with closing(sqlite3.connect(tables.cache)) as db, db:
        db.execute("DROP TRIGGER full")
    out = tables.extract(FRAME)
    check_whole(out, tables)
    assert set(out.status) == {"succeeded"}
    assert len(tables.model.asked) == COUNT
