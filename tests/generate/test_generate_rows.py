"""Rows in, the same rows with answers out."""

from __future__ import annotations

import random
from typing import Any

import pyarrow.parquet
import pytest
from generation_lab import GenerationLab, questions, read, said, server_of, write

from batchata.core.errors import ValidationError
from batchata.gateway import ItemFault, Scenario
from batchata.generate import GenerationPipeline


@pytest.mark.parametrize(
    ("source", "target"),
    [(".parquet", ".jsonl"), (".csv", ".parquet"), (".jsonl", ".csv")],
)
def test_rows_come_out_in_order_with_all_columns_in_every_format(
    made: GenerationLab, source: str, target: str
) -> None:
    rows = [{"id": str(n), "question": f'"{n}", say\nthe lines', "note": ""} for n in range(12)]
    given = write(made.folder / f"rows{source}", rows)
    out = made.folder / f"out{target}"

    summary = made.run(data={"input_path": str(given), "output_path": str(out)})

    found = read(out)
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert [row["question"] for row in found] == [row["question"] for row in rows]
    assert all(row["response"].startswith("Scripted sandbox answer") for row in found)
    assert list(found[0]) == [*rows[0], "response", "thinking_text", "finish_reason", "error"]
    assert (summary.total_items, summary.failed) == (12, 0)


def test_types_and_nested_columns_of_parquet_are_kept(made: GenerationLab) -> None:
    made.rows = [{"question": "a", "tags": ["x", "y"], "n": 3, "score": 0.5}]

    made.run()

    before = pyarrow.parquet.read_schema(made.folder / "in.parquet")
    after = pyarrow.parquet.read_schema(made.out)
    assert [after.field(name).type for name in before.names] == before.types
    assert read(made.out)[0]["tags"] == ["x", "y"]


def test_columns_of_views_go_through_samples_filters_and_shuffles(made: GenerationLab) -> None:
    view, views = pyarrow.string_view(), pyarrow.list_(pyarrow.string_view())
    table = pyarrow.table(
        {
            "question": pyarrow.array(["a", "b", "c"], view),
            "tags": pyarrow.array([["x"], None, ["y", "z"]], views),
            "data": pyarrow.array([b"1", b"2", b"3"], pyarrow.binary_view()),
        }
    )
    pyarrow.parquet.write_table(table, made.folder / "views.parquet")

    made.run(
        data={
            "input_path": str(made.folder / "views.parquet"),
            "filter_condition": "question != 'b'",
            "shuffle": True,
        },
        generation={"num_samples": 2},
    )

    found = sorted((row["question"], row["tags"], row["data"]) for row in read(made.out))
    assert found == [("a", ["x"], b"1")] * 2 + [("c", ["y", "z"], b"3")] * 2


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_bytes_are_base64_where_there_is_only_text(made: GenerationLab, ending: str) -> None:
    made.rows = [{"question": "a", "data": b"\xff\x00", "both": {"in": b"\xff"}}]
    out = made.folder / f"out.{ending}"

    made.run(data={"output_path": str(out)})

    text = out.read_text()
    assert "/wA=" in text
    assert "/w==" in text
    assert "b'" not in text


def test_samples_are_rows_of_their_own_each_with_its_temperature_and_seed(
    made: GenerationLab,
) -> None:
    made.rows = questions(3)
    with server_of(lambda body: [said(f"{body['temperature']} {body['seed']}")]) as server:
        made.run(
            model={"url": server.url, "name": "tiny"},
            generation={"num_samples": 2, "temperature": [0.0, 0.7], "seed": 5},
        )

    found = read(made.out)
    assert [(row["id"], row["sample_idx"]) for row in found] == [
        (number, sample) for number in range(3) for sample in range(2)
    ]
    assert {row["response"] for row in found if row["sample_idx"] == 0} == {"0.0 5"}
    assert {row["response"] for row in found if row["sample_idx"] == 1} == {"0.7 6"}


def test_one_request_brings_all_samples_and_a_missing_one_has_an_error(
    made: GenerationLab,
) -> None:
    made.rows = questions(1)
    with server_of(lambda _: [said("one"), said("two", reasoning="hm")]) as server:
        summary = made.run(
            model={"url": server.url, "name": "tiny"},
            generation={"num_samples": 3, "one_request": True},
        )

    assert [body["n"] for body in server.bodies] == [3]
    found = read(made.out)
    assert [row["response"] for row in found] == ["one", "two", None]
    assert [row["thinking_text"] for row in found] == [None, "hm", None]
    assert "2 of 3 samples" in found[2]["error"]
    assert (summary.total_responses, summary.failed) == (3, 1)


@pytest.mark.parametrize(
    ("message", "text", "thoughts"),
    [
        ({"content": "4", "reasoning": "2+2"}, "4", "2+2"),
        ({"content": "4", "reasoning_content": "2+2"}, "4", "2+2"),
        ({"content": "<think>2+2</think>\n\n4"}, "4", "2+2"),
        ({"content": "4"}, "4", None),
        ({"content": "4", "reasoning": None}, "4", None),
    ],
)
def test_thoughts_are_kept_apart_wherever_the_server_puts_them(
    made: GenerationLab, message: dict[str, Any], text: str, thoughts: str | None
) -> None:
    made.rows = questions(1)
    with server_of(lambda _: [{"message": message, "finish_reason": "stop"}]) as server:
        made.run(model={"url": server.url, "name": "tiny"})

    [row] = read(made.out)
    assert (row["response"], row["thinking_text"], row["error"]) == (text, thoughts, None)


def test_thoughts_that_were_cut_are_no_answer(made: GenerationLab) -> None:
    made.rows = questions(1)
    cut = {"message": {"content": "<think>and then"}, "finish_reason": "length"}
    with server_of(lambda _: [cut]) as server:
        summary = made.run(model={"url": server.url, "name": "tiny"})

    [row] = read(made.out)
    assert (row["thinking_text"], row["finish_reason"]) == ("and then", "length")
    assert not row["response"]
    assert summary.truncated == 1


def test_a_row_without_a_prompt_and_a_refused_one_fail_alone(made: GenerationLab) -> None:
    made.rows = questions(5)
    made.rows[1]["question"] = None
    made.box.set_scenario(Scenario(items=(ItemFault(outcome="refusal", prompt="question 3"),)))

    summary = made.run()

    found = read(made.out)
    assert [row["id"] for row in found if row["error"]] == [1, 3]
    assert [bool(row["response"]) for row in found] == [True, False, True, False, True]
    assert "'question'" in found[1]["error"]
    assert summary.failed == 2


def test_filter_limit_columns_and_template_choose_what_is_asked(made: GenerationLab) -> None:
    data = {
        "filter_condition": "group == 'b' and id >= 3",
        "limit": 4,
        "copy_columns": ["id"],
        "prompt_template": "{group}: {question}?",
    }
    with server_of(lambda body: [said(body["messages"][-1]["content"])]) as server:
        made.run(data=data, model={"url": server.url, "name": None})

    found = read(made.out)
    assert list(found[0]) == ["id", "response", "thinking_text", "finish_reason", "error"]
    assert [row["id"] for row in found] == [3, 5, 7, 9]
    assert [row["response"] for row in found] == [f"b: question {row['id']}?" for row in found]
    assert {body["model"] for body in server.bodies} == {"tiny"}  # the first that it lists


def test_a_shuffle_is_another_order_the_same_for_its_seed(made: GenerationLab) -> None:
    orders = []
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        out = made.folder / f"{name}.parquet"
        made.run(data={"output_path": str(out), "shuffle": True, "shuffle_seed": seed})
        orders.append([row["id"] for row in read(out)])

    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(20))
    assert orders[0] != sorted(orders[0])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.parquet", None, "there is no file"),
        ("text.parquet", b"hello", "is no Parquet file"),
        ("empty.csv", b"", "no header"),
        ("twice.csv", b"question,b,b\n1,2,3\n", "several columns named 'b'"),
        ("header.csv", b"question\n", "has no rows"),
        ("ragged.csv", b"question,b\n1\n", "line 2 has 1 values for 2 columns"),
        ("broken.jsonl", b'{"question": 1}\n{', "line 2 is no JSON"),
        ("list.jsonl", b"[1]\n", "line 1 is a list"),
        ("latin.csv", b"question\n\xe4\xff\n", "line 2 is not UTF-8"),
        ("other.csv", b"prompt\nx\n", "no column 'question'"),
        ("taken.csv", b"question,response\nx,y\n", "a column 'response' already"),
    ],
)
def test_a_bad_input_is_an_error_before_anything_is_sent(
    made: GenerationLab, name: str, content: bytes | None, said: str
) -> None:
    path = made.folder / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ValidationError) as caught:
        made.run(data={"input_path": str(path)})

    assert said in caught.value.message
    assert not made.calls
    assert not made.out.exists()


def test_a_file_with_two_columns_of_a_name_is_refused(made: GenerationLab) -> None:
    given = made.folder / "twice.parquet"
    columns = [pyarrow.array(["a"]), pyarrow.array(["b"])]
    pyarrow.parquet.write_table(pyarrow.table(columns, ["question", "question"]), given)

    with pytest.raises(ValidationError, match="several columns named 'question'"):
        made.run(data={"input_path": str(given)})

    assert made.calls == []


def test_bytes_are_no_prompt(made: GenerationLab) -> None:
    made.rows = [{"question": b"a"}]

    with pytest.raises(ValidationError, match="column 'question' holds bytes"):
        made.run()

    assert made.calls == []


def test_a_type_that_arrow_cannot_read_is_named_before_anything_is_sent(
    made: GenerationLab,
) -> None:
    import polars as pl

    given = made.folder / "wide.parquet"
    pl.DataFrame({"n": [1], "question": ["a"]}, schema_overrides={"n": pl.Int128}).write_parquet(
        given
    )

    with pytest.raises(ValidationError, match="a column of a type that cannot be read"):
        made.run(data={"input_path": str(given)})

    assert made.calls == []


def test_a_preview_sends_and_writes_nothing(made: GenerationLab) -> None:
    pipeline = GenerationPipeline(made.config(model={"prices": {"input": 1, "output": 2}}))
    before = sorted(made.folder.iterdir())

    found = pipeline.preview(counts_all=True)

    assert (found.rows, found.requests, found.bad_rows) == (20, 20, 0)
    assert found.first_request is not None
    assert found.first_request["messages"] == [{"role": "user", "content": "question 0"}]
    assert found.output_tokens == 20 * 60
    assert found.cost_usd is not None
    assert found.cost_usd > 0
    assert sorted(made.folder.iterdir()) == before
    assert not made.box.requests


def test_rows_of_a_long_file_are_read_from_any_position(made: GenerationLab) -> None:
    from batchata.generate.selection import Selection, Span
    from batchata.generate.sources import open_rows

    rows = questions(50)
    chance = random.Random(3)
    for ending in (".parquet", ".csv", ".jsonl"):
        selection = Selection(open_rows(write(made.folder / f"rows{ending}", rows)))
        for _ in range(20):
            start = chance.randrange(50)
            stop = chance.randrange(start, 51)
            found = selection.read(Span(start, stop)).to_pylist()
            assert [int(row["id"]) for row in found] == list(range(start, stop))
