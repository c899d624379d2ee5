"""Texts of a column are read back as they were, whatever the others beside them are."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchata.sinks.eventlog.table import Rows, parquet_bytes


def rows_of(run_ids: Sequence[str], payloads: list[bytes]) -> Rows:
    return Rows("{}", [(1, each, "", "t", "p") for each in run_ids], payloads)


@pytest.mark.parametrize("texts", [("", "a", "bc"), ("a", "grün", "日本"), ("", "", "")])
def test_texts_are_told_apart_plain_or_not(texts: tuple[str, ...]) -> None:
    rows = rows_of(texts, [f'"{each}"'.encode() for each in texts])

    table = pq.read_table(pa.BufferReader(parquet_bytes(rows)))

    assert table.column("run_id").to_pylist() == list(texts)
    assert table.column("payload").to_pylist() == [f'"{each}"' for each in texts]


def test_a_file_says_between_which_values_its_columns_are_but_not_its_payloads() -> None:
    made = parquet_bytes(rows_of(["a", "b"], [b"{}", b"[]"]))

    columns = pq.read_metadata(pa.BufferReader(made)).row_group(0)
    told = {columns.column(n).path_in_schema: columns.column(n).statistics for n in range(7)}
    assert [name for name, found in told.items() if found is None] == ["payload"]
    assert (told["run_id"].min, told["run_id"].max) == ("a", "b")


def test_half_a_character_does_not_keep_the_others_from_their_file() -> None:
    rows = rows_of(["a\ud800", "é"], [b"{}"] * 2)

    table = pq.read_table(pa.BufferReader(parquet_bytes(rows)))

    assert table.column("run_id").to_pylist() == ["a?", "é"]
