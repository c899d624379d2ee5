"""Rows of tables and files as jobs, and their answers beside them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from extraction_lab import GPT, FrameLab
from pydantic import BaseModel

from batchata import Batch
from batchata.core.errors import DuplicateJobError, ValidationError
from batchata.rows.source import RowSource

KEYS = [50, 3, 17]
DATA = {"key": KEYS, "text": ["one", "two", "three"], "group": ["a", "b", "a"]}


SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string"}, "stars": {"type": "integer"}},
    "required": ["mood", "stars"],
}


class Mood(BaseModel):
    mood: str
    stars: int


def asked(tables: FrameLab) -> list[str]:
    return sorted(tables.model.prompts)


def test_pandas_rows_come_back_with_answers_in_their_own_order_index_and_types(
    tables: FrameLab,
) -> None:
    df = pd.DataFrame(DATA, index=["x", "y", "z"])

    run = tables.batch().add_rows(df, prompt="Rate {text}", id="key", response_model=Mood).run()
    out = run.to_dataframe()

    new = ["mood", "stars", "status", "error", "cost_usd"]
    assert list(out.columns) == ["key", "text", "group", *new]
    assert out.index.tolist() == ["x", "y", "z"]
    assert out.key.dtype == df.key.dtype
    assert out.stars.dtype == "int64"
    assert [run.results()[str(key)].parsed_response.mood for key in KEYS] == out.mood.tolist()
    assert list(df.columns) == list(DATA)


@pytest.mark.parametrize("kind", [pl.DataFrame, pa.table], ids=["polars", "arrow"])
def test_polars_and_arrow_come_back_as_they_went(tables: FrameLab, kind: Any) -> None:
    out = tables.batch().add_rows(kind(DATA), prompt="Rate {text}", id="key").run().to_dataframe()

    assert type(out) is type(kind(DATA))
    assert pl.DataFrame(out)["key"].to_list() == KEYS
    assert pl.DataFrame(out)["status"].to_list() == ["succeeded"] * 3
    assert all(pl.DataFrame(out)["response"].to_list())


def write(path: Path) -> Path:
    """DATA as a file of the kind that the name says."""
    frame = pd.DataFrame(DATA)
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=2)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".ndjson", ".parquet"])
def test_files_are_read_row_by_row(tables: FrameLab, suffix: str) -> None:
    path = write(tables.folder / f"rows{suffix}")

    run = tables.batch().add_rows(path, prompt="Rate {text}", id="key", keep=["group"]).run()

    out = run.to_dataframe()
    assert list(map(str, out["key"])) == ["50", "3", "17"]
    assert out["status"].tolist() == ["succeeded"] * 3
    assert run.results()["17"].metadata == {"group": "a"}
    assert asked(tables) == ["Rate one", "Rate three", "Rate two"]


def test_answers_stay_beside_their_rows_when_the_state_has_another_order(tables: FrameLab) -> None:
    df = pd.DataFrame(DATA)
    first = tables.batch().add_rows(df, prompt="Rate {text}").run().to_dataframe()

    turned = tables.batch().add_rows(df.iloc[::-1], prompt="Rate {text}").run().to_dataframe()

    assert len(asked(tables)) == 3
    assert turned.iloc[::-1].response.tolist() == first.response.tolist()


def test_only_what_is_kept_becomes_metadata(tables: FrameLab) -> None:
    dicts = [{"text": "one", "year": 2020}, {"text": "two", "year": None}]

    run = tables.batch().add_rows(dicts, prompt="Rate {text}", keep=["year"]).run()
    plain = tables.batch(state="other.db").add_rows(dicts, prompt="Rate {text}").run()

    assert [r.metadata for r in run.results().completed] == [{"year": 2020}, {"year": None}]
    assert [r.metadata for r in plain.results().completed] == [None, None]


@pytest.mark.parametrize(
    "missing", [None, float("nan"), pd.NA, pd.NaT], ids=["None", "NaN", "NA", "NaT"]
)
def test_a_row_without_a_value_for_its_prompt_fails_alone(
    tables: FrameLab, missing: object
) -> None:
    df = pd.DataFrame({"text": pd.Series(["one", missing, "three"], dtype="object")})

    run = tables.batch().add_rows(df, prompt="Rate {text}").run()

    out = run.to_dataframe()
    assert out.status.tolist() == ["succeeded", "failed", "succeeded"]
    assert "row 2 has no value in column 'text'" in out.error[1]
    assert asked(tables) == ["Rate one", "Rate three"]
    assert run.status()["failed"] == 1


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_ids_keep_their_values_and_types(tables: FrameLab, kind: Any) -> None:
    for name, ids in {"zeros": ["07", "7"], "uuids": [UUID(int=2), UUID(int=1)]}.items():
        given = kind({name: ids, "text": ["one", "two"]})

        run = tables.batch(state=f"{name}.db").add_rows(given, prompt="{text}", id=name).run()

        out = run.to_dataframe()
        assert list(out[name]) == list(given[name])
        assert sorted(run.results()) == sorted(map(str, ids))


def test_half_a_surrogate_pair_spoils_its_row_only(tables: FrameLab) -> None:
    rows = [{"text": "one"}, {"text": "\ud83d"}]

    run = tables.batch().add_rows(rows, prompt="{text}").run()

    (bad,) = run.results().failed
    assert "not valid UTF-8" in (bad.error or "")
    assert asked(tables) == ["one"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_of_the_same_name_in_a_file_are_refused(tables: FrameLab, suffix: str) -> None:
    path = tables.folder / f"rows{suffix}"
    if suffix == ".csv":
        path.write_text("text,group,group\none,a,b\n")
    else:
        names = ["text", "group", "group"]
        pq.write_table(pa.Table.from_arrays([["one"], ["a"], ["b"]], names=names), path)

    with pytest.raises(ValidationError, match="several columns named 'group'"):
        tables.batch().add_rows(path, prompt="{text}").run()


def test_a_mended_row_is_asked_when_the_script_runs_again(tables: FrameLab) -> None:
    df = pd.DataFrame({"key": [1, 2], "text": ["one", None]})
    tables.batch().add_rows(df, prompt="Rate {text}", id="key").run()

    df.loc[1, "text"] = "two"
    out = tables.batch().add_rows(df, prompt="Rate {text}", id="key").run().to_dataframe()

    assert out.status.tolist() == ["succeeded"] * 2
    assert asked(tables) == ["Rate one", "Rate two"]


def test_an_empty_cell_of_a_csv_is_a_missing_value(tables: FrameLab) -> None:
    path = tables.folder / "rows.csv"
    path.write_text('key,text,note\n1,one,\n2,"",good\n')

    run = tables.batch().add_rows(path, prompt="Rate {text}", id="key", keep=["note"]).run()

    assert run.to_dataframe().status.tolist() == ["succeeded", "failed"]
    assert run.to_dataframe().note.isna().tolist() == [True, False]
    assert run.results()["1"].metadata == {"note": None}


def test_braces_are_doubled_and_values_are_not_templates(tables: FrameLab) -> None:
    rows = [{"text": "{not} a {{template}}"}]

    tables.batch().add_rows(rows, prompt='Give {{"mood": ...}} of {text}').run()

    assert asked(tables) == ['Give {"mood": ...} of {not} a {{template}}']


@pytest.mark.parametrize("column", ["price: net", "really!", "a[0]", "x.y", " a b", "größe"])
def test_a_column_may_have_any_name_without_braces(tables: FrameLab, column: str) -> None:
    rows = [{column.strip(): "7"}]

    tables.batch().add_rows(rows, prompt=f"Rate {{{column}}} and }}}}").run()

    assert asked(tables) == ["Rate 7 and }"]


def test_a_missing_column_is_named_at_once_with_those_that_are_there(tables: FrameLab) -> None:
    with pytest.raises(ValidationError, match="no column 'txt'") as caught:
        tables.batch().add_rows(pd.DataFrame(DATA), prompt="Rate {txt}")

    assert caught.value.hint == "its columns are: key, text, group"


@pytest.mark.parametrize("column", ["prompt", "id", "keep"])
def test_a_missing_column_of_a_file_ends_the_run_before_anything_is_sent(
    tables: FrameLab, column: str
) -> None:
    given: dict[str, Any] = {"prompt": "Rate {text}"}
    given[column] = {"prompt": "Rate {txt}", "id": "txt", "keep": ["txt"]}[column]
    batch = tables.batch().add_rows(write(tables.folder / "rows.csv"), **given)

    with pytest.raises(ValidationError, match="'txt'"):
        batch.run()

    assert asked(tables) == []


@pytest.mark.parametrize(
    ("rows", "given", "said"),
    [
        (5, {}, "rows is a int"),
        ({"text": "a"}, {}, "rows is a dict"),
        ("rows.xls", {}, "not a file of rows"),
        ([{"text": "a"}], {"prompt": ""}, "not a template"),
        ([{"text": "a"}], {"prompt": "no column"}, "names no column"),
        ([{"text": "a"}], {"prompt": "{text"}, "cannot be read"),
        ([{"text": "a"}], {"keep": "text"}, "keep is"),
        ([{"text": "a"}], {"temperature": 9}, "temperature"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    tables: FrameLab, rows: object, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        tables.batch().add_rows(rows, **{"prompt": "Rate {text}", **given})


@pytest.mark.parametrize(
    ("rows", "kind", "said"),
    [
        ([{"key": "a", "text": "1"}, {"key": "a", "text": "2"}], DuplicateJobError, "the id 'a'"),
        ([{"key": "a", "text": None}, {"key": "a", "text": "2"}], DuplicateJobError, "the id 'a'"),
        ([{"key": "a", "text": "1"}, {"key": None, "text": "2"}], ValidationError, "no id"),
        ([{"key": "\ud83d", "text": "1"}], ValidationError, "not valid Unicode"),
        ([{"key": "a", "text": "1"}, 5], ValidationError, "row 2 is a int"),
        ([], ValidationError, "no rows"),
    ],
)
def test_rows_that_cannot_be_told_apart_end_the_run_before_anything_is_sent(
    tables: FrameLab, rows: list[Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        tables.batch().add_rows(rows, prompt="Rate {text}", id="key").run()

    assert asked(tables) == []


def test_columns_that_the_table_has_already_are_kept(tables: FrameLab) -> None:
    df = pd.DataFrame({"text": ["one"], "mood": ["mine"], "status": [7]})

    out = (
        tables.batch().add_rows(df, prompt="Rate {text}", response_model=Mood).run().to_dataframe()
    )

    assert out.mood.tolist() == ["mine"]
    assert out.status.tolist() == [7]
    assert out.answer_status.tolist() == ["succeeded"]
    assert isinstance(out.answer_mood[0], str)


def test_an_estimate_does_not_use_the_rows_up(tables: FrameLab) -> None:
    batch = tables.batch().add_rows(pd.DataFrame(DATA), prompt="Rate {text}")

    estimate = batch.estimate()

    assert sum(each.jobs for each in estimate.models) == 3
    assert batch.run().to_dataframe().status.tolist() == ["succeeded"] * 3


def test_rows_beside_other_jobs_give_the_plain_table_of_results(tables: FrameLab) -> None:
    batch = tables.batch().add_job(prompt="first", id="first")

    out = batch.add_rows(pd.DataFrame(DATA), prompt="Rate {text}", id="key").run().to_dataframe()

    assert sorted(out.job_id) == ["17", "3", "50", "first"]


def test_rows_travel_by_batch_as_well(tables: FrameLab) -> None:
    batch = tables.batch().set_route("batch").add_rows(pd.DataFrame(DATA), prompt="Rate {text}")

    out = batch.run().to_dataframe()

    assert out.status.tolist() == ["succeeded"] * 3
    assert len(tables.box.ledger.batches) == 1


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_large_file_is_never_held_in_memory(tmp_path: Path, suffix: str) -> None:
    path, count, text = tmp_path / f"large{suffix}", 6_000, "x" * 1_000
    if suffix == ".parquet":
        rows = {"text": [f"{n}{text}" for n in range(count)]}
        pq.write_table(pa.table(rows), path, row_group_size=1_000)
        del rows
    else:
        with path.open("w") as file:
            file.writelines(json.dumps({"text": f"{n}{text}"}) + "\n" for n in range(count))
    source = RowSource(path, prompt="{text}", id_column=None, keep=())
    pattern = Batch().set_default_params(model=GPT).add_job(prompt="x").jobs[0]

    tracemalloc.start()
    made = sum(1 for _ in source.jobs(pattern))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert made == count
    assert peak < 4_000_000


def test_bytes_are_no_text_and_no_ids(tables: FrameLab) -> None:
    rows = [{"id": "a", "text": b"ab"}, {"id": "b", "text": "told"}]
    run = tables.batch().add_rows(rows, prompt="Say: {text}", id="id").run()

    assert "bytes in column 'text'" in str(run.results()["a"].error)
    assert tables.model.prompts == ["Say: told"]
    with pytest.raises(ValidationError, match="which is bytes"):
        tables.batch().add_rows([{"id": b"a", "text": "x"}], prompt="{text}", id="id").run()


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
@pytest.mark.parametrize("asked", [{"response_model": Mood}, {"response_schema": SCHEMA}])
def test_fields_are_columns_of_their_types_when_no_row_has_an_answer(
    tables: FrameLab, kind: Any, asked: dict[str, Any]
) -> None:
    rows = kind({"text": ["", None]})[1:] if kind is not pa.table else kind({"text": [None]})

    out = tables.batch().add_rows(rows, prompt="Rate {text}", **asked).run().to_dataframe()

    names = list(out.column_names if kind is pa.table else out.columns)
    assert names == ["text", "mood", "stars", "status", "error", "cost_usd"]
    assert pl.DataFrame(out).schema["stars"] == pl.Int64
