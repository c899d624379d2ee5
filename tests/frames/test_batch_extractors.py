"""The four steps of a batch job of a table, each in a process of its own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from anthropic import Anthropic
from extraction_lab import CLAUDE, GPT, SCHEMA, FrameLab, Rows, good, well

from batchata.core.errors import ValidationError
from batchata.frames import AnthropicBatchExtractor, OpenAIBatchExtractor
from batchata.gateway import BatchFault, ItemFault, Scenario, with_faults

COUNT = 12
FRAME = pd.DataFrame({"id": range(COUNT), "text": [f"text {n}" for n in range(COUNT)]})
Vendor = Literal["openai", "anthropic"]
VENDORS: tuple[Vendor, ...] = ("openai", "anthropic")


class Steps:
    """Both classes by the same four words; each step has an extractor of its own."""

    def __init__(self, tables: FrameLab, vendor: Vendor, **settings: Any) -> None:
        self.tables = tables
        self.vendor = vendor
        self.root = tables.folder / "jobs"
        self.settings = settings

    def extractor(self) -> Any:
        reach: dict[str, Any] = {"api_key": "sk-test", "poll_factor": 0.01, **self.settings}
        if self.vendor == "openai":
            url = self.tables.box.openai_base_url
            return OpenAIBatchExtractor(self.root, base_url=url, **reach)
        url = self.tables.box.anthropic_base_url
        return AnthropicBatchExtractor(self.root, base_url=url, **reach)

    def create(self, df: pd.DataFrame = FRAME, prompt: str = "Say the mood.", **given: Any) -> Any:
        given = {"schema_dict": SCHEMA, **given}
        if self.vendor == "openai":
            make, model = self.extractor().create_batch_jsonl, GPT
        else:
            make, model = self.extractor().create_batch_requests, CLAUDE
        return make(df, "id", "text", prompt, "moods", model, **given)

    def submit(self) -> Any:
        is_openai = self.vendor == "openai"
        name = "submit_batches" if is_openai else "submit_batch"
        return getattr(self.extractor(), name)("moods")

    def check(self, **given: Any) -> Any:
        return self.extractor().check_batch_status("moods", **given)

    def retrieve(self) -> Any:
        return self.extractor().retrieve_results_as_dataframe("moods")

    def requests(self) -> list[Path]:
        files = self.root.joinpath("moods", "batch_input").iterdir()
        return sorted(path for path in files if not path.name.startswith("plan"))


@pytest.fixture(params=VENDORS)
def steps(request: pytest.FixtureRequest, tables: FrameLab) -> Steps:
    return Steps(tables, request.param)


def check_answers(out: pd.DataFrame, count: int = COUNT) -> None:
    """Every row is there, in order, with an answer of its own or a reason."""
    assert out.input_id.tolist() == list(range(count))
    assert out.input_id.dtype == "int64"
    succeeded = out.status == "succeeded"
    assert out.mood[succeeded].tolist() == [f"mood of text {n}" for n in out.input_id[succeeded]]
    assert out.error[~succeeded].notna().all()


def test_four_steps_bring_every_row_an_answer(steps: Steps) -> None:
    steps.create()
    steps.submit()
    steps.check(continuous=True)
    out = steps.retrieve()

    check_answers(out)
    assert set(out.status) == {"succeeded"}
    assert sorted(map(len, steps.tables.model.packs)) == [2, 5, 5]
    files = [path for path in steps.root.rglob("*") if path.is_file()]
    assert all(b"sk-test" not in path.read_bytes() for path in files)


def test_what_will_be_sent_can_be_read_before(steps: Steps) -> None:
    path = steps.create()

    (file,) = steps.requests()
    text = file.read_text()
    if steps.vendor == "openai":
        bodies = [json.loads(line)["body"] for line in text.splitlines()]
        names = [json.loads(line)["custom_id"] for line in text.splitlines()]
    else:
        assert path == file
        bodies = [each["params"] for each in json.loads(text)["requests"]]
        names = [each["custom_id"] for each in json.loads(text)["requests"]]
    assert len(set(names)) == 3
    assert steps.tables.box.requests == []
    assert steps.retrieve() is None
    steps.submit()
    steps.check(continuous=True)
    order = [body["messages"][-1]["content"] for body in bodies]
    assert sorted(steps.tables.model.bodies, key=lambda b: order.index(_content(b))) == bodies


def _content(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def test_submitting_twice_sends_once(steps: Steps) -> None:
    steps.tables.box.set_scenario(Scenario(latency_seconds=60))
    steps.create()

    first = steps.submit()
    second = steps.submit()

    assert len(steps.tables.box.ledger.batches) == 1
    if steps.vendor == "anthropic":
        assert first == second == steps.tables.box.ledger.batches[0].id


def test_building_anew_before_submitting_replaces_what_was_built(steps: Steps) -> None:
    steps.create()

    steps.create(chunk_size=1)
    steps.submit()
    steps.check(continuous=True)

    assert Counter(map(len, steps.tables.model.packs)) == {1: COUNT}
    assert len(steps.requests()) == 1
    check_answers(steps.retrieve())


def test_building_anew_leaves_out_what_is_in_flight(steps: Steps) -> None:
    steps.tables.box.set_scenario(Scenario(latency_seconds=60))
    steps.create(FRAME.head(5))
    steps.submit()

    steps.create(FRAME)
    steps.submit()
    before = steps.retrieve()
    steps.tables.model.ahead = 60
    steps.check(continuous=True)

    assert before.status.tolist() == ["submitted"] * COUNT
    out = steps.retrieve()
    check_answers(out)
    assert set(out.status) == {"succeeded"}
    assert max(Counter(steps.tables.model.asked).values()) == 1


def ids_last(rows: Rows) -> Any:
    """The right answer, with the ids where nobody expects them."""
    return {"all_results": [dict(reversed(good(row).items())) for row in rows]}


def test_more_rows_and_changed_texts_are_all_that_is_asked_the_next_time(steps: Steps) -> None:
    steps.tables.model.reply = ids_last
    steps.create(FRAME.head(5))
    steps.submit()
    steps.check(continuous=True)

    changed = FRAME.assign(text=FRAME.text.where(FRAME.id != 2, "changed"))
    steps.create(changed)
    steps.submit()
    steps.check(continuous=True)

    out = steps.retrieve()
    assert out.mood[2] == "mood of changed"
    assert out.status.tolist() == ["succeeded"] * COUNT
    assert Counter(steps.tables.model.asked)["2"] == 2
    assert len(steps.tables.model.asked) == COUNT + 1


def test_a_row_whose_answer_was_no_good_is_asked_alone_the_next_time(steps: Steps) -> None:
    steps.tables.model.reply = lambda rows: (
        well(rows) if len(rows) == 1 else {"all_results": [good(row) for row in rows[:-1]]}
    )
    steps.create()
    steps.submit()
    steps.check(continuous=True)
    first = steps.retrieve()

    steps.create()
    steps.submit()
    steps.check(continuous=True)

    check_answers(first)
    assert first.status.value_counts().to_dict() == {"succeeded": COUNT - 3, "failed": 3}
    assert first.error.dropna().str.contains("all_results").all()
    out = steps.retrieve()
    check_answers(out)
    assert set(out.status) == {"succeeded"}
    assert [len(pack) for pack in steps.tables.model.packs[-3:]] == [1, 1, 1]


@pytest.mark.parametrize("outcome", ["refusal", "length", "invalid_request"])
def test_one_bad_item_leaves_the_others_within_reach(steps: Steps, outcome: Any) -> None:
    fault = ItemFault(outcome=outcome, prompt="text 7")
    steps.tables.box.set_scenario(Scenario(items=(fault,)))

    steps.create()
    steps.submit()
    steps.check(continuous=True)

    out = steps.retrieve()
    check_answers(out)
    assert out[out.status == "failed"].input_id.tolist() == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("change", ["failed", "expired", "cancelled"])
def test_batches_that_end_badly_end_and_say_so(steps: Steps, change: Any) -> None:
    if change == "failed" and steps.vendor == "anthropic":
        pytest.skip("this vendor's batches do not fail as a whole")
    fault = BatchFault(change=change, times=None)
    steps.tables.box.set_scenario(Scenario(batches=(fault,)))

    steps.create()
    steps.submit()
    steps.check(continuous=True)

    check_answers(steps.retrieve())


def test_one_look_tells_and_fetches_what_is_done(steps: Steps) -> None:
    steps.tables.box.set_scenario(Scenario(latency_seconds=60))
    steps.create()
    steps.submit()

    early = steps.check()
    before = steps.retrieve()
    steps.tables.model.ahead = 60
    late = steps.check()

    assert before.status.tolist() == ["submitted"] * COUNT
    assert (
        before.error[0] == "it is not finished: call check_batch_status('moods', continuous=True)"
    )
    assert steps.retrieve().status.tolist() == ["succeeded"] * COUNT
    expected = (None, None) if steps.vendor == "openai" else ("in_progress", "ended")
    assert (early, late) == expected


def test_a_batch_that_is_being_cancelled_has_not_ended(tables: FrameLab) -> None:
    steps = Steps(tables, "anthropic")
    tables.box.set_scenario(Scenario(latency_seconds=60, cancel_seconds=60))
    steps.create()
    batch_id = steps.submit()
    with Anthropic(api_key="sk-test", base_url=tables.box.anthropic_base_url) as client:
        client.messages.batches.cancel(batch_id)

    early = steps.check()
    tables.model.ahead = 60
    late = steps.check()

    assert (early, late) == ("in_progress", "ended")
    check_answers(steps.retrieve())


def test_what_is_left_at_the_vendor_is_told_with_the_call_that_fetches_it(
    steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    steps.tables.box.set_scenario(Scenario(latency_seconds=60))
    steps.create()

    steps.submit()

    (said,) = [record.message for record in caplog.records if "stopped" in record.message]
    assert said == (
        "stopped (all is sent); 1 batch goes on at the vendor; "
        "call check_batch_status('moods', continuous=True) to go on: nothing is paid twice"
    )


def test_waiting_longer_than_allowed_is_an_error_and_loses_nothing(tables: FrameLab) -> None:
    steps = Steps(tables, "anthropic")
    tables.box.set_scenario(Scenario(latency_seconds=60))
    steps.create()
    steps.submit()

    with pytest.raises(TimeoutError, match=r"0\.2 seconds"):
        steps.check(continuous=True, timeout=0.2)

    tables.model.ahead = 60
    assert steps.check(continuous=True) == "ended"
    check_answers(steps.retrieve())


def test_large_jobs_are_split_into_files_and_batches(tables: FrameLab) -> None:
    steps = Steps(tables, "openai", max_requests_per_batch=2)

    steps.create(chunk_size=2)
    steps.submit()
    steps.check(continuous=True)

    assert [path.name for path in steps.requests()] == [f"batch_{n}.jsonl" for n in (1, 2, 3)]
    assert len(tables.box.ledger.batches) == 3
    check_answers(steps.retrieve())


def test_asking_all_again_while_some_are_in_flight_is_refused(tables: FrameLab) -> None:
    steps = Steps(tables, "openai")
    tables.box.set_scenario(Scenario(latency_seconds=60))
    steps.create()
    steps.submit()

    with pytest.raises(ValidationError, match="12 rows"):
        steps.create(exclude_processed=False)


def test_all_may_be_asked_again_on_purpose(tables: FrameLab) -> None:
    steps = Steps(tables, "openai")
    for given in ({}, {"exclude_processed": False}):
        steps.create(**given)
        steps.submit()
        steps.check(continuous=True)

    assert len(tables.model.asked) == 2 * COUNT
    check_answers(steps.retrieve())


def test_requests_changed_by_hand_are_not_sent(steps: Steps) -> None:
    steps.create()
    (path,) = steps.requests()
    path.write_text(path.read_text().replace("Say the mood", "Say anything"))

    with pytest.raises(ValidationError, match="changed by hand"):
        steps.submit()

    assert steps.tables.model.asked == []


def test_rows_without_values_are_there_and_not_asked(steps: Steps) -> None:
    steps.create(pd.DataFrame({"id": ["a", None, "c"], "text": ["1", "2", None]}))
    steps.submit()
    steps.check(continuous=True)

    out = steps.retrieve()
    assert out.status.tolist() == ["succeeded", "failed", "failed"]
    assert steps.tables.model.asked == ["a"]


def test_named_faults_of_batches_lose_nothing(steps: Steps) -> None:
    steps.tables.box.set_scenario(with_faults(Scenario(), "duplicate-lines,shuffled,http-503"))

    steps.create(chunk_size=1)
    steps.submit()
    steps.check(continuous=True)

    out = steps.retrieve()
    check_answers(out)
    assert set(out.status) == {"succeeded"}


@pytest.mark.parametrize("step", ["submit", "check"])
def test_steps_out_of_order_say_what_comes_first(steps: Steps, step: str) -> None:
    with pytest.raises(FileNotFoundError):
        getattr(steps, step)()


@pytest.mark.parametrize("job_id", ["", "../out", "a/b", 5])
def test_a_job_id_is_the_name_of_a_folder(tables: FrameLab, job_id: Any) -> None:
    extractor = Steps(tables, "openai").extractor()

    with pytest.raises(ValidationError, match="job_id"):
        extractor.submit_batches(job_id)
