"""Texts of a column are read back as they were, whatever the others beside them are."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchata.sinks.eventlog.table import Row, parquet_bytes


@pytest.mark.parametrize("texts", [("", "a", "bc"), ("a", "grün", "日本"), ("", "", "")])
def test_texts_are_told_apart_plain_or_not(texts: tuple[str, ...]) -> None:
    rows = [Row(1, each, "", "t", "p", "{}", f'"{each}"'.encode()) for each in texts]

    table = pq.read_table(pa.BufferReader(parquet_bytes(rows)))

    assert table.column("run_id").to_pylist() == list(texts)
    assert table.column("payload").to_pylist() == [f'"{each}"' for each in texts]


def test_half_a_character_does_not_keep_the_others_from_their_file() -> None:
    rows = [Row(1, each, "", "t", "p", "{}", b"{}") for each in ("a\ud800", "é")]

    table = pq.read_table(pa.BufferReader(parquet_bytes(rows)))

    assert table.column("run_id").to_pylist() == ["a?", "é"]
