"""Chains asked about every row of a table."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pytest

from batchata import read_events
from batchata.core.errors import (
    AccountStoppedError,
    CostLimitExceededError,
    UnknownPriceError,
    ValidationError,
)
from batchata.gateway import HttpFault, ItemFault, Sandbox, Scenario

if TYPE_CHECKING:
    import langchain_lab


def asked(lc: langchain_lab, table: Any, llm: Any, **options: Any) -> Any:
    return asyncio.run(lc.part.batch_run(table, llm, show_progress=False, **options))


def counting(lc: langchain_lab, answer: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    """A chain, and what it was asked."""
    said: list[Any] = []

    def ask(prompt: Any) -> Any:
        said.append(prompt)
        return answer(prompt)

    return lc.RunnableLambda(ask), said


def rows(*prompts: Any) -> pd.DataFrame:
    return pd.DataFrame({"prompt": list(prompts)}, index=range(7, 7 + len(prompts)))


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_outputs_come_in_the_order_of_the_rows(
    make: Any, lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    table = make({"prompt": [f"Name river number {'I' * number}." for number in range(1, 9)]})

    said = asked(lc, table, lc.model("openai", box), max_concurrency=4)

    lengths = [each.usage_metadata["input_tokens"] for each in said]
    assert lengths == sorted(lengths)
    assert len(box.ledger.live) == 8
    assert {each.content for each in said} != {said[0].content}


def test_two_tables_in_two_loops_of_one_process(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    llm = lc.model("openai", box)

    first, second = (asked(lc, rows(f"Name a {what}."), llm) for what in ("river", "lake"))

    assert [type(each).__name__ for each in (*first, *second)] == ["AIMessage"] * 2


def test_structured_outputs_are_what_they_were_also_from_the_state_file(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    chain = lc.model("anthropic", box).with_structured_output(lc.City)
    table = rows("Name a city.", "Name another.")

    first = asked(lc, table, chain, results_dir=tmp_path)
    again = asked(lc, table, chain, results_dir=tmp_path)

    assert all(isinstance(each, lc.City) for each in first)
    assert again == first
    assert len(box.ledger.live) == 2


def test_a_run_that_broke_off_goes_on_where_it_was(lc: langchain_lab, tmp_path: Path) -> None:
    is_well: list[bool] = []

    def answer(prompt: str) -> str:
        if prompt == "c" and not is_well:
            raise KeyError("c")
        return prompt.upper()

    chain, said = counting(lc, answer)
    first = asked(lc, rows("a", "b", "c"), chain, results_dir=tmp_path)
    is_well.append(True)

    second = asked(lc, rows("new", "c", "b", "a", "b"), chain, results_dir=tmp_path)

    assert [type(each) for each in first] == [str, str, KeyError]
    assert second == ["NEW", "C", "B", "A", "B"]
    assert sorted(said) == ["a", "b", "b", "c", "c", "new"]


def test_an_answer_that_was_paid_for_and_does_not_fit_is_not_asked_for_again(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    def read(answer: Any) -> Any:
        raise ValueError("no number")

    chain = lc.model("openai", box) | lc.RunnableLambda(read)

    said = [asked(lc, rows("a"), chain, results_dir=tmp_path) for _ in range(2)]

    assert all("no number" in str(each) for [each] in said)
    assert len(box.ledger.live) == 1


def test_an_answer_that_langchain_cannot_parse_was_paid_for_all_the_same(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    box.set_scenario(Scenario(items=[ItemFault(outcome="length")]))
    chain = lc.model("openai", box).with_structured_output(lc.City)  # the SDK parses and raises

    said = [asked(lc, rows("a"), chain, results_dir=tmp_path) for _ in range(2)]

    assert all(isinstance(each, Exception) for [each] in said)
    assert len(box.ledger.live) == 1


def test_a_vendor_that_is_busy_is_asked_again(lc: langchain_lab, box: Sandbox) -> None:
    box.set_scenario(Scenario(http=[HttpFault(action="status", status=503, times=1)]))

    [said] = asked(lc, rows("a"), lc.model("openai", box))

    assert said.content


KILLED = """
import asyncio, os, signal, sys
import pandas as pd
from langchain_core.callbacks import BaseCallbackHandler
from langchain_openai import ChatOpenAI
from batchata.integrations.langchain import batch_run

class Death(BaseCallbackHandler):
    answered = 0
    def on_llm_end(self, *_, **__):
        Death.answered += 1
        if Death.answered == 40:
            os.kill(os.getpid(), signal.SIGKILL)

url, key, folder = sys.argv[1:]
llm = ChatOpenAI(
    model="gpt-6-luna", api_key=key, max_retries=0, base_url=url, callbacks=[Death()]
)
table = pd.DataFrame({"prompt": [f"Name river {number}." for number in range(60)]})
asyncio.run(batch_run(table, llm, max_concurrency=4, show_progress=False, results_dir=folder))
"""


@pytest.mark.slow
def test_a_killed_run_asks_again_only_what_was_in_flight(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    box.set_scenario(Scenario(http=[HttpFault(action="slow", seconds=0.03, times=None)]))
    arguments = [box.openai_base_url, lc.KEY, tmp_path / "out"]
    child = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    paid = len(box.ledger.live)
    box.set_scenario(Scenario())

    table = pd.DataFrame({"prompt": [f"Name river {number}." for number in range(60)]})
    said = asked(lc, table, lc.model("openai", box), results_dir=tmp_path / "out")

    assert child.returncode == -signal.SIGKILL
    assert 40 <= paid < 60
    assert all(each.content for each in said)
    again = len(box.ledger.live) - 60
    assert again <= 4 + 4 * 5  # in flight, and answers of the last tenth of a second


def test_another_chain_is_asked_anew(lc: langchain_lab, tmp_path: Path) -> None:
    one, _ = counting(lc, str.upper)
    prompt = lc.ChatPromptTemplate.from_template("{x}!")

    asked(lc, rows("a"), one, results_dir=tmp_path)
    made = asked(lc, rows({"x": "a"}), prompt | lc.ready("two"), results_dir=tmp_path)

    assert [each.content for each in made] == ["two"]


@pytest.mark.parametrize("returns", [True, False])
def test_exceptions_are_in_their_places_or_raised(returns: bool, lc: langchain_lab) -> None:
    def answer(prompt: str) -> str:
        if prompt == "bad":
            raise ZeroDivisionError("bad")
        return prompt

    chain, _ = counting(lc, answer)

    if returns:
        said = asked(lc, rows("a", "bad", "b"), chain)
        assert [type(each) for each in said] == [str, ZeroDivisionError, str]
    else:
        with pytest.raises(ZeroDivisionError):
            asked(lc, rows("a", "bad", "b"), chain, return_exceptions=False)


def test_without_results_nothing_comes_back(lc: langchain_lab, tmp_path: Path) -> None:
    chain, said = counting(lc, str.upper)

    made = asked(lc, rows("a", "b"), chain, return_results=False, results_dir=tmp_path)

    assert made is None
    assert len(said) == 2


def test_a_refused_key_stops_the_run(lc: langchain_lab, box: Sandbox) -> None:
    box.set_scenario(Scenario(http=[HttpFault(action="status", status=401, times=None)]))

    with pytest.raises(AccountStoppedError):
        asked(lc, rows(*"abcdefgh"), lc.model("openai", box), max_concurrency=1)

    assert len(box.requests) == 1


def test_a_budget_holds(lc: langchain_lab, box: Sandbox, tmp_path: Path) -> None:
    llm = lc.model("openai", box, max_tokens=10)

    said = asked(lc, rows("a"), llm, cost_limit_usd=1e-9)

    assert [type(each) for each in said] == [CostLimitExceededError]
    assert box.ledger.live == []
    with pytest.raises(UnknownPriceError, match="FakeListChatModel"):
        asked(lc, rows("a"), lc.ready(), cost_limit_usd=1)


def test_a_table_without_prompts_is_told(lc: langchain_lab) -> None:
    with pytest.raises(ValidationError, match="no column 'prompt'; it has text"):
        asked(lc, pd.DataFrame({"text": ["a"]}), lc.ready())

    assert asked(lc, rows(), lc.ready()) == []


def settings(lc: langchain_lab, box: Sandbox, folder: Path, **more: Any) -> dict[str, Any]:
    options = {"model": "gpt-6-luna", "base_url": box.openai_base_url, "api_key": lc.KEY}
    how = {"show_progress": False, "return_results": True, **more}
    return {
        "llm_config": lc.part.LLMConfig(llm_class=lc.ChatOpenAI, llm_kwargs=options),
        "job_config": lc.part.JobConfig(category="tour", version="1.2"),
        "storage_config": lc.part.StorageConfig(output_dir=str(folder)),
        "processing_config": lc.part.ProcessingConfig(**how),
    }


def test_a_process_has_a_log_and_goes_on_where_it_died(
    lc: langchain_lab, box: Sandbox, tmp_path: Path
) -> None:
    table = rows("Name a river.", None, "Name a lake.")
    table["config"] = [lc.with_tags(custom_id=0), lc.with_tags(custom_id=1), float("nan")]
    given = settings(lc, box, tmp_path)

    first = asyncio.run(lc.part.batch_process(table, **given))
    again = asyncio.run(lc.part.batch_process(table, **given))

    folder = tmp_path / "tour" / "default" / "v1_2"
    events = read_events(folder)
    ends = events[events["event_type"] != "chat_model_start"]
    assert [type(each).__name__ for each in first] == ["AIMessage", "ValidationError", "AIMessage"]
    assert [first[0].content, first[2].content] == [again[0].content, again[2].content]
    assert len(box.ledger.live) == 2
    assert sorted(set(ends["logger_custom_id"])) == ["", "0", "1"]
    assert "no prompt" in ends[ends["logger_custom_id"] == "1"]["error"].iloc[0]
    written = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
    assert lc.KEY.encode() not in written


def test_configs_are_left_as_they_are(lc: langchain_lab, tmp_path: Path) -> None:
    bucket = lc.S3Config(bucket="b", prefix="logs/")

    made = [lc.processing._bucket(bucket, "tour/v1") for _ in range(2)]

    assert [each.prefix for each in made] == ["logs/tour/v1"] * 2
    assert bucket.prefix == "logs/"
