"""What goes in comes out: kinds of tables, order, ids, types and names of columns."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from extraction_lab import SCHEMA, FrameLab

from batchata.core.errors import ValidationError

KEYS = [50, 3, 17]
TEXTS = [f"text {key}" for key in KEYS]
KINDS = [pd.DataFrame, pl.DataFrame, pa.table]
IDS = {
    "zeros": ["007", "07", "7"],
    "long": [2**63 - 1, 2**53 + 1, -1],
    "uuids": [UUID(int=n) for n in (2, 1, 3)],
    "dates": [date(2020, 2, day) for day in (3, 1, 2)],
}


def frame() -> pd.DataFrame:
    return pd.DataFrame({"id": KEYS, "text": TEXTS, "more": "x"}, index=list("abc"))


def test_pandas_gives_pandas_with_its_index_ids_and_order(tables: FrameLab) -> None:
    out = tables.extract(frame())

    assert list(out.columns) == ["input_id", "mood", "length", "status", "error"]
    assert out.input_id.tolist() == KEYS
    assert out.input_id.dtype == "int64"
    assert out.index.tolist() == list("abc")
    assert out.length.dtype == "int64"
    assert out.mood.tolist() == [f"mood of {text}" for text in TEXTS]


def test_the_answers_merge_with_the_table_by_whole_number_ids(tables: FrameLab) -> None:
    df = frame()

    merged = df.merge(tables.extract(df), left_on="id", right_on="input_id")

    assert merged.length.tolist() == [len(text) for text in TEXTS]


@pytest.mark.parametrize("kind", [pl.DataFrame, pa.table], ids=["polars", "arrow"])
def test_polars_and_arrow_give_the_same_kind(tables: FrameLab, kind: Any) -> None:
    out = tables.extract(kind({"id": KEYS, "text": TEXTS}))

    assert type(out) is type(kind({"id": [1]}))
    assert _values(out, "input_id") == KEYS
    assert _values(out, "mood") == [f"mood of {text}" for text in TEXTS]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()], ids=str)
def test_texts_of_arrow_may_be_of_any_kind(tables: FrameLab, kind: pa.DataType) -> None:
    out = tables.extract(pa.table({"id": KEYS, "text": pa.array(TEXTS, kind)}))

    assert _values(out, "mood") == [f"mood of {text}" for text in TEXTS]


@pytest.mark.parametrize("kind", KINDS, ids=["pandas", "polars", "arrow"])
def test_ids_keep_their_values_and_types(tables: FrameLab, kind: Any) -> None:
    for name, ids in IDS.items():
        given = kind({name: ids, "text": ["one", "two", "three"]})

        out = tables.extract(given, id_col=name)

        assert list(out["input_id"]) == list(given[name])
        assert _types(out)["input_id"] == _types(given)[name]
        assert _values(out, "mood") == ["mood of one", "mood of two", "mood of three"]


@pytest.mark.parametrize("kind", KINDS, ids=["pandas", "polars", "arrow"])
def test_columns_without_any_value_have_the_type_that_the_schema_names(
    tables: FrameLab, kind: Any
) -> None:
    given = kind({"id": [1], "text": ["one"]})
    schema = {
        **SCHEMA,
        "properties": {**SCHEMA["properties"], "note": {"type": ["string", "null"]}},
    }
    whole = _types(tables.extract(given, schema=schema))

    none = _types(tables.extract(kind({"id": [1], "text": [None]}), schema=schema))

    if kind is not pd.DataFrame:  # its own text type has no word for "missing" in older releases
        assert none == {**whole, "error": whole["status"], "note": whole["mood"]}
    assert str(none["length"]).lower() == "int64"


def _types(table: Any) -> dict[str, Any]:
    if isinstance(table, pa.Table):
        return dict(zip(table.column_names, table.schema.types, strict=True))
    return dict(table.schema) if isinstance(table, pl.DataFrame) else dict(table.dtypes)


def _values(table: Any, name: str) -> list[Any]:
    column = table[name]
    values: list[Any] = column.to_pylist() if isinstance(table, pa.Table) else column.to_list()
    return values


@pytest.mark.parametrize("name", ["text", "more"])
@pytest.mark.parametrize("make", ["pandas", "arrow"])
def test_columns_of_the_same_name_are_refused(tables: FrameLab, make: str, name: str) -> None:
    arrow = pa.Table.from_arrays([[1], ["a"], ["b"]], names=["id", "text", name])
    twice = pa.Table.from_arrays([[1], ["a"], ["b"], ["c"]], names=["id", "text", name, name])
    given = twice if name == "more" else arrow

    with pytest.raises(ValidationError, match=f"same name: '{name}' 2 times"):
        tables.extract(given.to_pandas() if make == "pandas" else given)


@pytest.mark.parametrize("name", [0, "0"])
def test_names_that_are_no_text_are_refused_with_what_to_write(
    tables: FrameLab, name: object
) -> None:
    with pytest.raises(ValidationError) as caught:
        tables.extract(pd.DataFrame([[1, "a"]]), id_col=name)

    assert caught.value.hint == "its names are not text: df.columns = df.columns.astype(str)"


@pytest.mark.parametrize("column", ["id", "text"])
def test_half_a_surrogate_pair_spoils_its_row_only(tables: FrameLab, column: str) -> None:
    df = pd.DataFrame({"id": ["a", "b"], "text": ["one", "two"]}, dtype="object")
    df.loc[1, column] = "\ud83d"

    out = tables.extract(df)

    assert out.status.tolist() == ["succeeded", "failed"]
    assert out.error[1] == f"the value in column {column!r} is not valid Unicode: it was not asked"


def test_fields_named_like_our_columns_keep_their_names(tables: FrameLab) -> None:
    tables.model.reply = lambda rows: {
        "all_results": [{"input_id": row["input_id"], "status": "new"} for row in rows]
    }

    out = tables.extract(frame(), schema=None)

    assert set(out.status) == {"new"}
    assert set(out.row_status) == {"succeeded"}


def test_a_lazy_table_is_refused_with_what_to_write(tables: FrameLab) -> None:
    with pytest.raises(ValidationError, match="collect"):
        tables.extract(pl.LazyFrame({"id": [1], "text": ["a"]}))


def test_an_empty_table_gives_an_empty_table(tables: FrameLab) -> None:
    out = tables.extract(frame().head(0))

    assert list(out.columns) == ["input_id", "mood", "length", "status", "error"]
    assert len(out) == 0


def test_cells_are_asked_about_as_text_json_or_not_at_all(tables: FrameLab) -> None:
    cells = [["a", "b"], np.arange(2000), b"ab", np.float32("nan"), Decimal("NaN")]
    df = pd.DataFrame({"id": range(len(cells)), "text": pd.Series(cells, dtype=object)})

    out = tables.extract(df, schema=SCHEMA)

    assert out.mood[0] == 'mood of ["a", "b"]'
    assert out.mood[1].startswith("mood of [0, 1, 2, ")
    assert out.mood[1].endswith("1998, 1999]")
    assert "bytes, not text" in out.error[2]
    assert "no value" in out.error[3]
    assert "no value" in out.error[4]
    assert tables.model.asked == ["0", "1"]


def test_an_id_that_is_the_index_is_told_with_what_to_write(tables: FrameLab) -> None:
    df = pd.DataFrame({"text": TEXTS}, index=pd.Index(KEYS, name="id"))

    with pytest.raises(ValidationError, match="reset_index"):
        tables.extract(df)
