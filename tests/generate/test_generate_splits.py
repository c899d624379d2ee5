"""Splits: together they are the whole, in order, and nothing else goes for one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from generation_lab import GenerationLab, questions, read
from hypothesis import given
from hypothesis import strategies as st

from batchata.core.errors import ValidationError
from batchata.generate import merge_splits
from batchata.generate.selection import span_of_split
from batchata.generate.shard_run import selection_of


@given(rows=st.integers(0, 10_000), count=st.integers(1, 40))
def test_splits_are_the_whole_and_the_first_have_one_more(rows: int, count: int) -> None:
    spans = [span_of_split(rows, number, count) for number in range(1, count + 1)]

    assert [spans[0].start, spans[-1].stop] == [0, rows]
    assert all(one.stop == two.start for one, two in pairwise(spans))
    sizes = [len(span) for span in spans]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1


def split_run(made: GenerationLab, count: int, **data: object) -> Path:
    """Run all splits, the last one first, and merge them."""
    out = made.folder / f"all{count}.parquet"
    for number in range(count, 0, -1):
        split = {"split_id": number, "num_splits": count, "rows_per_part": 4}
        made.run(data={"output_path": str(out), **data}, processing=split)
    merge_splits(out, count)
    return out


@pytest.mark.parametrize("count", range(1, 14))
def test_splits_read_the_rows_of_the_whole(made: GenerationLab, count: int) -> None:
    made.rows = questions(29)
    config = made.config(data={"filter_condition": "id != 3", "limit": 27})
    whole = selection_of(config, None, None)
    spans = [span_of_split(whole.rows, number, count) for number in range(1, count + 1)]

    parts = [selection_of(config, None, None).read(span).to_pylist() for span in spans]

    assert [row["id"] for part in parts for row in part] == [0, 1, 2, *range(4, 28)]


@pytest.mark.parametrize("count", [2, pytest.param(13, marks=pytest.mark.slow)])
def test_merged_splits_are_the_unsplit_run(made: GenerationLab, count: int) -> None:
    made.rows = questions(11)
    data = {"shuffle": True, "filter_condition": "id != 3"}
    made.run(data=data)

    merged = split_run(made, count, **data)

    assert read(merged) == read(made.out)


@pytest.fixture
def splits(made: GenerationLab) -> GenerationLab:
    """Two splits of an output."""
    made.rows = questions(5)
    for number in (1, 2):
        made.run(processing={"split_id": number, "num_splits": 2})
    return made


def test_a_missing_split_is_refused(splits: GenerationLab) -> None:
    (splits.folder / "out-2-of-2.parquet").unlink()

    with pytest.raises(ValidationError, match=r"out-2-of-2\.parquet is missing") as caught:
        merge_splits(splits.out, 2)

    assert "--split-id 2 --num-splits 2" in str(caught.value.hint)

    assert not splits.out.exists()


def test_a_split_of_another_config_is_refused(splits: GenerationLab) -> None:
    second = {"split_id": 2, "num_splits": 2}
    splits.run(generation={"seed": 1}, processing=second, fresh=True)

    with pytest.raises(ValidationError, match=r"does not match .*generation\.seed"):
        merge_splits(splits.out, 2)


def test_a_renamed_split_and_a_foreign_file_are_refused(splits: GenerationLab) -> None:
    first, second = (splits.folder / f"out-{number}-of-2.parquet" for number in (1, 2))
    second.write_bytes(first.read_bytes())
    with pytest.raises(ValidationError, match="of another run"):
        merge_splits(splits.out, 2)

    second.write_bytes((splits.folder / "in.parquet").read_bytes())
    with pytest.raises(ValidationError, match="was not written by"):
        merge_splits(splits.out, 2)


def test_an_output_that_is_there_is_replaced_only_when_asked(splits: GenerationLab) -> None:
    splits.out.write_bytes(b"mine")
    assert merge_splits(splits.out, 2, dry_run=True).rows == 5

    with pytest.raises(ValidationError, match="exists already"):
        merge_splits(splits.out, 2)
    assert splits.out.read_bytes() == b"mine"

    assert merge_splits(splits.out, 2, overwrite=True).rows == 5
    assert len(read(splits.out)) == 5
