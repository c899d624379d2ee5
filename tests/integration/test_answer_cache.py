"""Answers that outlive their run: what is the same question, what is kept, and what never is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, field_validator
from run_lab import GPT, MODELS, Lab, all_of

from batchata import Batch, BatchRun
from batchata.core.errors import (
    AccountStoppedError,
    StateError,
    StateVersionError,
    ValidationError,
)
from batchata.gateway import HttpFault, ItemFault, Scenario
from batchata.gateway.sandbox.scenario import ItemOutcome

Reuse = Literal["strict", "ignore_params", "ignore_prompt", "fresh"]
QUESTION: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is red warm?"},
    ],
    "max_tokens": 60,
    "temperature": 0.5,
}
#: what is changed in the question
CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "temperature": {"temperature": 0.7},
    "max_tokens": {"max_tokens": 61},
    "seed": {"seed": 7},
    "prompt": {"messages": [{"role": "system", "content": "Be kind."}, QUESTION["messages"][1]]},
    "question": {"messages": [QUESTION["messages"][0], {"role": "user", "content": "Is blue?"}]},
    "schema": {"response_schema": {"type": "object", "properties": {"warm": {"type": "boolean"}}}},
    "model": {"model": "gpt-6-sol"},
}
PARAMETERS = {"nothing", "temperature", "max_tokens", "seed"}
TAKEN: dict[Reuse, set[str]] = {
    "strict": {"nothing"},
    "ignore_params": PARAMETERS,
    "ignore_prompt": {*PARAMETERS, "prompt"},
    "fresh": set(),
}


class Person(BaseModel):
    name: str
    age: int


def ask(lab: Lab, *, reuse: Reuse = "strict", route: str = "live", **question: Any) -> BatchRun:
    """A run of its own that asks one question, with a cache beside it."""
    number = len(list(lab.folder.glob("out*")))
    batch = lab.batch(lab.folder / f"out{number}").set_route(route)
    batch.set_cache(lab.folder / "answers.db", reuse=reuse)
    return batch.add_job(**{"model": GPT, **QUESTION, **question}).run()


def billed(lab: Lab) -> int:
    """Questions that the vendors were asked."""
    return lab.ledger.billed_items + len(lab.ledger.live)


@pytest.mark.parametrize("reuse", TAKEN)
def test_what_is_the_same_question_is_said_by_reuse(lab: Lab, reuse: Reuse) -> None:
    ask(lab)
    batch = lab.batch(lab.folder / "again").set_route("live")
    batch.set_cache(lab.folder / "answers.db", reuse=reuse)
    for name, change in CHANGES.items():
        batch.add_job(**{"model": GPT, **QUESTION, **change}, id=name)

    found = all_of(batch.run())

    assert {name for name, each in found.items() if not each.attempts} == TAKEN[reuse]
    assert billed(lab) == 1 + len(CHANGES) - len(TAKEN[reuse])


@pytest.mark.parametrize("route", ["live", "batch"])
@pytest.mark.parametrize("model", MODELS.values())
def test_an_answer_taken_from_the_cache_is_the_same_and_costs_nothing(
    lab: Lab, model: str, route: str
) -> None:
    asked = ask(lab, route=route, model=model, response_model=Person, temperature=None)
    again = ask(lab, route=route, model=model, response_model=Person, temperature=None)

    (first,), (second,) = all_of(asked).values(), all_of(again).values()
    assert billed(lab) == 1
    assert isinstance(second.parsed_response, Person)
    assert (second.response, second.finish_reason) == (first.response, first.finish_reason)
    assert first.cost_usd > 0
    assert second.cost_usd == Decimal(0)
    assert again.status()["cost_usd"] == 0


def ending(outcome: ItemOutcome) -> Scenario:
    """Every answer ends so."""
    return Scenario(items=(ItemFault(outcome=outcome, times=None),))


BAD: dict[str, tuple[Scenario, dict[str, Any]]] = {
    "refused": (ending("refusal"), {}),
    "filtered": (ending("content_filter"), {}),
    "cut": (ending("length"), {}),
    "cut fields": (ending("length"), {"response_model": Person}),
    "invalid": (
        Scenario(replies={"": '{"name": "Ann", "age": "old"}'}),
        {"response_model": Person},
    ),
    "failed": (ending("server_error"), {}),
}


@pytest.mark.parametrize("case", BAD)
def test_cut_refused_and_invalid_answers_are_never_kept(lab: Lab, case: str) -> None:
    scenario, question = BAD[case]
    lab.box.set_scenario(scenario)
    ask(lab, **question)
    bad = rows_of(lab.folder / "answers.db")
    lab.box.set_scenario(Scenario())

    (found,) = all_of(ask(lab, **question)).values()

    assert bad == 0
    assert found.is_success
    assert found.attempts == 1
    assert rows_of(lab.folder / "answers.db") == 1


def test_calls_of_the_users_own_tools_are_kept(lab: Lab) -> None:
    tool = {"type": "function", "function": {"name": "paint", "parameters": {"type": "object"}}}
    choice = {"type": "function", "function": {"name": "paint"}}
    runs = [ask(lab, tools=[tool], tool_choice=choice) for _ in range(2)]

    first, second = (next(iter(all_of(run).values())) for run in runs)
    assert first.finish_reason == "tool_calls"
    assert second.extra == first.extra
    assert billed(lab) == 1


class Minor(BaseModel):
    """As Person, with a rule that no schema tells."""

    name: str
    age: int

    @field_validator("age")
    @classmethod
    def is_young(cls, age: int) -> int:
        if age > 17:
            raise ValueError("too old")
        return age


def test_an_answer_that_the_model_of_today_refuses_is_asked_again(lab: Lab) -> None:
    Minor.__name__ = "Person"
    for age, model in ((70, Person), (7, Minor)):
        lab.box.set_scenario(Scenario(replies={"": f'{{"name":"Ann","age":{age}}}'}))
        run = ask(lab, response_model=model)

    assert billed(lab) == 2
    assert [each.parsed_response.age for each in run.results().completed] == [7]


def test_a_fresh_answer_takes_the_place_of_the_old_one(lab: Lab) -> None:
    ask(lab)
    lab.box.set_scenario(Scenario(replies={"": "Another answer."}))
    ask(lab, reuse="fresh")
    lab.box.set_scenario(Scenario())

    (found,) = all_of(ask(lab)).values()

    assert found.response == "Another answer."
    assert rows_of(lab.folder / "answers.db") == 1


def test_a_changed_file_is_another_question(lab: Lab) -> None:
    path = lab.folder / "note.txt"
    for text in ("one", "two", "one"):
        path.write_text(text)
        ask(lab, messages=None, file=path, prompt="What is in it?")

    assert billed(lab) == 2


def test_embeddings_are_kept(lab: Lab) -> None:
    given = {"messages": None, "prompt": "red", "max_tokens": None, "temperature": None}
    runs = [ask(lab, model="text-embedding-3-small", **given) for _ in range(2)]

    first, second = (next(iter(all_of(run).values())) for run in runs)
    assert billed(lab) == 1
    assert second.extra == first.extra
    assert second.extra


def test_jobs_that_an_earlier_run_left_unasked_find_the_answers_of_others(lab: Lab) -> None:
    fault = HttpFault(action="status", status=401, times=1, code="invalid_api_key")
    lab.box.set_scenario(Scenario(http=(fault,)))
    with pytest.raises(AccountStoppedError):
        cached(lab).run()
    cached(lab).set_state(lab.folder / "other.db").run()

    run = cached(lab).run()

    assert run.status()["completed"] == 2
    assert billed(lab) == 2


def cached(lab: Lab) -> Batch:
    """Two questions with a cache."""
    return lab.chat(2).set_route("live", concurrency=1).set_cache(lab.folder / "answers.db")


def test_a_folder_that_is_not_there_is_told_before_anything_is_sent(lab: Lab) -> None:
    with pytest.raises(StateError, match=r"answers\.db"):
        lab.chat(1).set_cache(lab.folder / "nowhere" / "answers.db").run()

    assert billed(lab) == 0


def no_database(path: Path) -> None:
    path.write_text("mine, and long enough to be read as a database's first page")


def of_others(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE mine (a)")


def of_a_newer_release(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA application_id=0x62746363")
        db.execute("PRAGMA user_version=99")


@pytest.mark.parametrize(
    ("make", "kind"),
    [(no_database, StateError), (of_others, StateError), (of_a_newer_release, StateVersionError)],
)
def test_files_that_are_no_cache_of_ours_are_left_as_they_are(
    lab: Lab, make: Callable[[Path], None], kind: type[Exception]
) -> None:
    path = lab.folder / "answers.db"
    make(path)
    before = path.read_bytes()

    with pytest.raises(kind, match=r"answers\.db"):
        ask(lab)

    assert path.read_bytes() == before
    assert billed(lab) == 0


def test_a_wrong_word_for_reuse_is_told_at_once() -> None:
    with pytest.raises(ValidationError, match="reuse is 'always'"):
        Batch().set_cache("answers.db", reuse="always")  # type: ignore[arg-type]


def rows_of(path: Path) -> int:
    """How many answers a cache holds."""
    with closing(sqlite3.connect(path)) as db:
        count: int = db.execute("SELECT count(*) FROM answers").fetchone()[0]
        return count


def test_an_estimate_counts_what_the_cache_has_answers_for_and_writes_nothing(lab: Lab) -> None:
    place = lab.folder / "answers.db"
    lab.chat(3).set_cache(place).run()
    before = place.read_bytes()
    there = sorted(path.name for path in lab.folder.iterdir())
    batch = lab.chat(5).set_state(lab.folder / "other.db").set_cache(place)

    estimate = batch.estimate()

    assert (estimate.jobs, estimate.cached, estimate.done) == (2, 3, 0)
    assert place.read_bytes() == before
    assert sorted(path.name for path in lab.folder.iterdir()) == there


def test_an_estimate_with_a_cache_that_is_not_there_yet_makes_none(lab: Lab) -> None:
    estimate = lab.chat(2).set_cache(lab.folder / "answers.db").estimate()

    assert (estimate.jobs, estimate.cached) == (2, 0)
    assert list(lab.folder.iterdir()) == []


def test_a_cache_that_is_a_folder_or_in_none_is_named(lab: Lab) -> None:
    with pytest.raises(StateError, match="is a folder"):
        lab.chat(1).set_cache(lab.folder).run()
    with pytest.raises(StateError, match="does not exist") as caught:
        lab.chat(1).set_cache(lab.folder / "no" / "answers.db").run()

    assert "mkdir" in str(caught.value.hint)
