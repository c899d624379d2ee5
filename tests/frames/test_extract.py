"""Questions about rows: how they are said, what they may cost, and that each is asked once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import anthropic
import openai
import pandas as pd
import pytest
from extraction_lab import SCHEMA, FrameLab, well
from pydantic import BaseModel, field_validator

from batchata.core.errors import ValidationError

KEYS = [50, 3, 17, 9, 28, 1, 44]
TEXTS = [f"text {key}" for key in KEYS]


def frame() -> pd.DataFrame:
    return pd.DataFrame({"id": KEYS, "text": TEXTS, "more": "x"}, index=list("abcdefg"))


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_a_client_of_ones_own_is_used_and_stays_open(tables: FrameLab, backend: str) -> None:
    client: Any
    if backend == "openai":
        client = openai.OpenAI(api_key="sk-own", base_url=tables.box.openai_base_url)
    else:
        client = anthropic.Anthropic(api_key="sk-own", base_url=tables.box.anthropic_base_url)

    with client:
        out = tables.extract(frame(), backend=backend, client=client, api_key=None, base_url=None)
        assert not client.is_closed()

    assert set(out.status) == {"succeeded"}
    assert len(tables.model.asked) == len(KEYS)


def test_the_key_is_in_no_file(tables: FrameLab) -> None:
    from batchata.frames import extraction

    kept = tables.folder / "kept"
    with pytest.MonkeyPatch.context() as patch:  # the run's own file, too, before it is removed
        patch.setattr(extraction, "remove", lambda path: path.rename(kept))
        tables.extract(frame(), api_key="sk-very-secret")

    files = [path for path in tables.folder.iterdir() if path.is_file()]
    assert kept in files
    assert all(b"very-secret" not in path.read_bytes() for path in files)


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
        {"params": {"seed": 7}},
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


def test_how_many_rows_are_asked_about_is_said(
    tables: FrameLab, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.model.reply = lambda rows: {"all_results": well(rows)["all_results"][:3]}

    tables.extract(frame(), print_status=True)

    said = capsys.readouterr().err
    assert "asking about 7 rows, 5 to a job" in said
    assert "asking again about 2 rows, each alone" in said
    assert ".run" not in said  # a file that is gone when the call ends


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


def test_parameters_of_the_vendor_travel_as_they_are(tables: FrameLab) -> None:
    params = {"seed": 7, "top_p": 0.5, "temperature": 0.3}

    out = tables.extract(frame().head(1), params=params)
    again = tables.extract(frame().head(1), params=params)

    assert out.equals(again)
    (body,) = tables.model.bodies
    assert {name: body[name] for name in params} == params


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
        ({"max_workers": 0}, "max_workers is 0"),
        ({"backend": "nobody"}, "no backend 'nobody'"),
        ({"schema": {"type": "object"}}, "no properties"),
        ({"schema": "nowhere.json"}, "cannot be read"),
        ({"schema": 5}, "schema is a int"),
        ({"prompt": " "}, "prompt"),
        ({"params": ["seed"]}, "params is"),
        ({"params": {"model": "other"}}, "params has 'model'"),
        ({"params": {"temperature": 9}}, "temperature"),
        ({"params": {"seed": {1, 2}}}, "cannot be sent"),
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
