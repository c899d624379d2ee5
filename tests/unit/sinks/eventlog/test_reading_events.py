"""Events read back: every generation of the schema, and the usual fields as columns."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchata.core.errors import EventLogError, ValidationError
from batchata.core.logged import LoggedEvent
from batchata.sinks.eventlog import EventLog, read_events
from batchata.sinks.eventlog.fields import flat

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def micros(at: datetime) -> int:
    return int(at.timestamp() * 1e6)


@pytest.fixture
def two_calls(tmp_path: Path) -> Path:
    """A call that was answered, and one that failed a day later."""
    with EventLog(tmp_path) as log:
        for number, kind, data in (
            (0, "llm_start", {"prompts": ["How are you?"], "model": "gpt-6-luna"}),
            (2, "llm_end", {"answer": "well", "usage": {"prompt_tokens": 3}, "cost_usd": "0.5"}),
        ):
            at = micros(NOON + timedelta(seconds=number))
            log.write(
                LoggedEvent(event_type=kind, run_id="a", custom_id="1", data=data, timestamp_us=at)
            )
        log.write(
            LoggedEvent(
                event_type="llm_error",
                run_id="b",
                parent_run_id="a",
                custom_id="2",
                data={"error": {"type": "ValueError", "message": "no"}},
                timestamp_us=micros(NOON + timedelta(days=1)),
            )
        )
    return tmp_path


def test_the_usual_fields_are_columns(two_calls: Path) -> None:
    start, end, error = read_events(two_calls).to_dict("records")

    assert (start["model"], start["prompt"]) == ("gpt-6-luna", "How are you?")
    assert (end["answer"], end["input_tokens"], end["cost_usd"]) == ("well", 3, 0.5)
    assert end["latency_seconds"] == 2.0
    assert (error["error"], error["parent_run_id"]) == ("no", "a")


def test_events_can_be_chosen(two_calls: Path) -> None:
    assert list(read_events(two_calls, custom_id="2")["run_id"]) == ["b"]
    assert len(read_events(two_calls, event_type=["llm_start", "llm_end"])) == 2
    assert list(read_events(two_calls, since="2026-11-21T12:00:01")["event_type"]) == [
        "llm_end",
        "llm_error",
    ]
    assert list(read_events(two_calls, since=NOON + timedelta(hours=1))["run_id"]) == ["b"]


def test_an_empty_log_is_a_table_without_rows(tmp_path: Path) -> None:
    frame = read_events(tmp_path / "none")

    assert len(frame) == 0
    assert {"timestamp", "payload", "answer", "latency_seconds"} <= set(frame.columns)


def test_files_of_the_later_generation_are_read(tmp_path: Path) -> None:
    _write(
        tmp_path / "date=2026-11-21" / "logs_1.parquet",
        {
            "timestamp": pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us")),
            "run_id": ["a"],
            "parent_run_id": ["p"],
            "custom_id": ["row-1"],
            "event_type": ["llm_start"],
            "logger_metadata": ["{}"],
            "payload": [json.dumps({"data": {"prompts": ["hello"], "model": "m"}})],
        },
    )

    (row,) = read_events(tmp_path).to_dict("records")

    assert row["timestamp"] == NOON
    assert (row["logger_custom_id"], row["parent_run_id"]) == ("row-1", "p")
    assert row["prompt"] == "hello"
    assert row["provider"] != row["provider"] or row["provider"] is None


def test_generations_lie_in_one_log(two_calls: Path) -> None:
    _write(
        two_calls / "old.parquet",
        {
            "timestamp": pa.array([NOON], pa.timestamp("ns", tz="UTC")),
            "custom_id": ["0"],
            "event_type": ["background_retrieval_complete"],
            "payload": [
                json.dumps(
                    {
                        "response_id": "resp_1",
                        "openai_response": {
                            "model": "m",
                            "output": [{"content": [{"type": "output_text", "text": "yes"}]}],
                            "usage": {"input_tokens": 4, "output_tokens": 1},
                        },
                    }
                )
            ],
        },
    )

    (row,) = read_events(two_calls, custom_id="0").to_dict("records")

    assert (row["answer"], row["model"], row["output_tokens"]) == ("yes", "m", 1)
    assert len(read_events(two_calls)) == 4


def test_a_file_that_is_no_log_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "other.parquet", {"a": [1]})

    with pytest.raises(EventLogError, match=r"other\.parquet does not belong to an event log"):
        read_events(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")

    with pytest.raises(EventLogError, match=r"torn\.parquet is not a Parquet file"):
        read_events(tmp_path)


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="yesterday"):
        read_events(tmp_path, since="yesterday")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (
            {"response": {"generations": [[{"text": "", "message": {"content": "hi"}}]]}},
            {"answer": "hi"},
        ),
        (
            {"response": {"llm_output": {"token_usage": {"completion_tokens": 7}}}},
            {"output_tokens": 7},
        ),
        (
            {"messages": [[{"content": [{"type": "text", "text": "a"}, "b", {"type": "x"}]}]]},
            {"prompt": "ab"},
        ),
        ({"invocation_params": {"model": "m"}, "cost_usd": "none"}, {"model": "m"}),
        ({"error": "plain"}, {"error": "plain"}),
        ({"prompts": [], "messages": [], "usage": None, "response": []}, {}),
    ],
)
def test_fields_are_found_where_doors_put_them(data: Any, found: dict[str, Any]) -> None:
    assert flat(json.dumps({"data": data})) == found


@pytest.mark.parametrize("payload", [None, "", "no json", "[]", '"x"', "{}", '{"data": null}'])
def test_payloads_of_any_kind_are_read(payload: str | None) -> None:
    assert flat(payload) == {}


def _write(path: Path, columns: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
