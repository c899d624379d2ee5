"""What goes in comes out: kinds of tables, order, ids, and answers that are asked for once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from extraction_lab import SCHEMA, FrameLab, well
from pydantic import BaseModel, field_validator

from batchata.core.errors import ValidationError

KEYS = [50, 3, 17, 9, 28, 1, 44]
TEXTS = [f"text {key}" for key in KEYS]


def frame() -> pd.DataFrame:
    return pd.DataFrame({"id": KEYS, "text": TEXTS, "more": "x"}, index=list("abcdefg"))


def test_pandas_gives_pandas_with_its_index_ids_and_order(tables: FrameLab) -> None:
    out = tables.extract(frame())

    assert list(out.columns) == ["input_id", "mood", "length", "status", "error"]
    assert out.input_id.tolist() == KEYS
    assert out.input_id.dtype == "int64"
    assert out.index.tolist() == list("abcdefg")
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
    assert out["input_id"].to_pylist() if kind is pa.table else out["input_id"].to_list() == KEYS
    assert pl.DataFrame(out)["mood"].to_list() == [f"mood of {text}" for text in TEXTS]


def test_rows_without_an_id_or_a_text_are_not_asked_and_say_so(tables: FrameLab) -> None:
    df = pd.DataFrame({"id": ["a", None, "c", "d"], "text": ["one", "two", None, float("nan")]})

    out = tables.extract(df)

    assert tables.model.asked == ["a"]
    assert out.status.tolist() == ["succeeded", "failed", "failed", "failed"]
    assert "'id'" in out.error[1]
    assert "'text'" in out.error[2]
    assert out.length.tolist()[0] == 3
    assert out.length.dtype == "Int64"


def test_rows_with_the_same_id_never_share_a_pack_and_get_their_own_answers(
    tables: FrameLab,
) -> None:
    df = pd.DataFrame({"id": ["a", "b", "a", "a", "b"], "text": ["1", "22", "333", "333", "55555"]})

    first = tables.extract(df)
    asked = len(tables.model.asked)
    second = tables.extract(df)

    assert all(len(set(pack)) == len(pack) for pack in tables.model.packs)
    assert first.length.tolist() == second.length.tolist() == [1, 2, 3, 3, 5]
    assert asked == len(tables.model.asked) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gpt-6-sol"},
        {"prompt": "Say the other mood."},
        {"schema": {**SCHEMA, "description": "other"}},
        {"backend": "anthropic"},
        {"fresh": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_question_is_asked_anew(tables: FrameLab, change: dict[str, Any]) -> None:
    tables.extract(frame())

    tables.extract(frame(), **change)

    assert len(tables.model.asked) == 2 * len(KEYS)


def test_a_changed_text_is_asked_anew_and_going_back_costs_nothing(tables: FrameLab) -> None:
    changed = frame()
    changed.loc["c", "text"] = "changed"
    tables.extract(frame())

    second = tables.extract(changed)
    third = tables.extract(frame())

    assert len(tables.model.asked) == len(KEYS) + 1
    assert second.mood["c"] == "mood of changed"
    assert third.mood["c"] == "mood of text 17"


def test_other_pack_sizes_and_orders_find_the_same_answers(tables: FrameLab) -> None:
    tables.extract(frame())

    out = tables.extract(frame().iloc[::-1], chunk_size=2, max_workers=3)

    assert len(tables.model.asked) == len(KEYS)
    assert out.input_id.tolist() == KEYS[::-1]
    assert out.mood.tolist() == [f"mood of {text}" for text in TEXTS[::-1]]


def test_the_prompt_may_be_left_out_of_the_match(tables: FrameLab) -> None:
    tables.extract(frame())

    tables.extract(frame(), prompt="Other words.", ignore_prompt_hash=True)

    assert len(tables.model.asked) == len(KEYS)


def test_what_is_skipped_is_said(tables: FrameLab, capsys: pytest.CaptureFixture[str]) -> None:
    tables.extract(frame())

    tables.extract(frame(), print_status=True)

    assert "SqliteCache: skipping 7 / 7 rows" in capsys.readouterr().err


class Mood(BaseModel):
    mood: str
    length: int

    @field_validator("length")
    @classmethod
    def _is_short(cls, length: int) -> int:
        if length > 6:
            raise ValueError("too long")
        return length


def test_a_pydantic_model_says_what_a_row_is_and_its_validators_count(tables: FrameLab) -> None:
    out = tables.extract(frame(), schema=Mood)

    assert out.status.tolist() == ["succeeded" if len(text) <= 6 else "failed" for text in TEXTS]
    assert out.error.dropna().str.contains("too long").all()


WHOLE = {
    "type": "object",
    "properties": {
        "all_results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"input_id": {"type": "string"}, **SCHEMA["properties"]},
                "required": ["input_id", "mood", "length"],
            },
        }
    },
    "required": ["all_results"],
}
WRAPPED = {"type": "json_schema", "json_schema": {"name": "moods", "schema": WHOLE, "strict": True}}
LOOSE = {"type": "json_schema", "json_schema": {"name": "moods", "schema": WHOLE, "strict": False}}


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
@pytest.mark.parametrize("kind", ["row", "whole", "wrapped", "path"])
def test_one_schema_serves_both_vendors_however_it_is_said(
    tables: FrameLab,
    kind: Literal["row", "whole", "wrapped", "path"],
    backend: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(WRAPPED))
    schema = {"row": SCHEMA, "whole": WHOLE, "wrapped": WRAPPED, "path": path}[kind]

    out = tables.extract(frame(), schema=schema, backend=backend)

    assert out.mood.tolist() == [f"mood of {text}" for text in TEXTS]
    asked = json.dumps(tables.model.bodies[0])
    assert '"all_results"' in asked
    assert '"input_id"' in asked


def test_a_loose_response_format_travels_as_it_is_and_rows_are_checked_all_the_same(
    tables: FrameLab,
) -> None:
    tables.model.reply = lambda rows: {"all_results": [{**well(rows)["all_results"][0], "mood": 1}]}

    out = tables.extract(frame().head(1), schema=LOOSE)

    assert tables.model.bodies[0]["response_format"] == LOOSE
    assert out.status.tolist() == ["failed"]


def test_without_a_schema_json_is_asked_for_in_words_where_the_prompt_does_not(
    tables: FrameLab,
) -> None:
    tables.extract(frame(), schema=None)
    tables.extract(frame(), schema=None, prompt="Give JSON.")

    said = [body["messages"][0]["content"] for body in tables.model.bodies]
    assert said[0].startswith("Say the mood.\n\nAnswer in JSON")
    assert said[-1] == "Give JSON."
    assert tables.model.bodies[0]["response_format"] == {"type": "json_object"}


def test_the_prompt_is_marked_for_the_cache_at_anthropic(tables: FrameLab) -> None:
    tables.extract(frame(), backend="anthropic")

    (block,) = tables.model.bodies[0]["system"]
    assert block["text"] == "Say the mood."
    assert block["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("model", "temperature"),
    [("gpt-4.1-mini", 0.0), ("gpt-6-luna", None), ("o4-mini", None), ("gpt-5-mini", None)],
)
def test_models_with_a_temperature_of_their_own_are_given_none(
    tables: FrameLab, model: str, temperature: float | None
) -> None:
    tables.extract(frame().head(1), model=model)

    assert tables.model.bodies[0].get("temperature") == temperature


def test_fields_named_like_our_columns_keep_their_names(tables: FrameLab) -> None:
    tables.model.reply = lambda rows: {
        "all_results": [{"input_id": row["input_id"], "status": "new"} for row in rows]
    }

    out = tables.extract(frame(), schema=None)

    assert set(out.status) == {"new"}
    assert set(out.row_status) == {"succeeded"}


def test_a_cost_limit_skips_what_does_not_fit_and_says_so(tables: FrameLab) -> None:
    out = tables.extract(frame(), limit_usd=0.0000001, max_tokens=200)

    assert set(out.status) == {"skipped"}
    assert out.error.str.contains("Cost limit").all()
    assert tables.model.asked == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id_col": "nope"}, "no column 'nope'"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"max_workers": 0}, "concurrency"),
        ({"backend": "nobody"}, "no backend 'nobody'"),
        ({"schema": {"type": "object"}}, "no properties"),
        ({"schema": "nowhere.json"}, "cannot be read"),
        ({"schema": 5}, "schema is a int"),
        ({"prompt": " "}, "prompt"),
        ({"client": object()}, "both given"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_done_is_said_before_anything_is_sent(
    tables: FrameLab, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        tables.extract(frame(), **change)

    assert tables.box.requests == []


def test_a_lazy_table_is_refused_with_what_to_write(tables: FrameLab) -> None:
    with pytest.raises(ValidationError, match="collect"):
        tables.extract(pl.LazyFrame({"id": [1], "text": ["a"]}))


def test_an_empty_table_gives_an_empty_table(tables: FrameLab) -> None:
    out = tables.extract(frame().head(0))

    assert list(out.columns) == ["input_id", "mood", "length", "status", "error"]
    assert len(out) == 0
