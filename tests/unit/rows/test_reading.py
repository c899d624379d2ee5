"""A file of rows means the same, whether it is read row by row or in columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchata.core.errors import ValidationError
from batchata.generate.sources import open_rows
from batchata.rows.files import read_rows


def one_by_one(path: Path) -> list[dict[str, Any]]:
    return [dict(row) for _, row in read_rows(path)]


def in_columns(path: Path) -> list[dict[str, Any]]:
    file = open_rows(path)
    return [row for batch in file.batches() for row in batch.to_pylist()]


READERS = pytest.mark.parametrize("read", [one_by_one, in_columns])
Read = Callable[[Path], list[dict[str, Any]]]


@READERS
@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,x\n2,\n",
        b"\xef\xbb\xbfa,b\r\n1,x\r\n\r\n2,\r\n",
        b"a,b\r1,x\r2,\r",
        b'\na,b\n"1",x\n"2",""',
    ],
    ids=["plain", "of-windows", "of-an-old-mac", "blank-first-line"],
)
def test_a_csv_file_may_come_from_any_system(tmp_path: Path, read: Read, data: bytes) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(data)

    assert read(path) == [{"a": "1", "b": "x"}, {"a": "2", "b": None}]


@READERS
def test_a_quoted_value_keeps_its_line_breaks(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'a\n"x\ry\nz"\n')

    assert read(path) == [{"a": "x\ry\nz"}]


@READERS
def test_a_number_of_any_size_keeps_its_digits(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"parcel": 123456789012345678901234567890}\n')

    assert [str(row["parcel"]) for row in read(path)] == ["123456789012345678901234567890"]


@READERS
@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("rows.csv", b"", "rows.csv has no header"),
        ("rows.csv", b"a,b,a,b\n", "several columns named 'a', 'b'"),
        ("rows.csv", b"a,b\n1,2\n3\n", "rows.csv line 3 has 1 values for 2 columns"),
        ("rows.csv", b"a\nx\n\xff\n", "rows.csv line 3 is not UTF-8"),
        ("rows.jsonl", b'{"a": 1}\n\n{', "rows.jsonl line 3 is no JSON"),
        ("rows.jsonl", b"[1]", "rows.jsonl line 1 is a list"),
        ("rows.jsonl", b"[" * 100_000, "rows.jsonl line 1 is no JSON"),
        ("rows.parquet", b"PAR", "is no Parquet file"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_in_the_same_words(
    tmp_path: Path, read: Read, name: str, data: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(ValidationError, match=said):
        read(path)


def test_a_value_that_is_no_number_is_missing_where_columns_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": NaN}\n{"a": "x"}\n{"a": 5}\n')

    assert in_columns(path) == [{"a": None}, {"a": "x"}, {"a": "5"}]


@pytest.mark.parametrize("before", ["", '{"a": 1}\n'])
def test_half_a_surrogate_pair_has_no_place_in_a_column(tmp_path: Path, before: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(before + '{"a": "\\ud800"}\n')

    with pytest.raises(ValidationError, match="column 'a' that is not valid Unicode"):
        in_columns(path)
