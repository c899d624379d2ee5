"""A batch from the builder to its results, over the real SDKs and the real wire."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from pydantic import BaseModel
from run_lab import CLAUDE, GPT, Lab, all_of, cost_of

from batchata import Batch, Job, JobResult, JobStatus
from batchata.core.errors import RunError


class Person(BaseModel):
    """What structured jobs ask for."""

    name: str
    age: int
    tags: list[str] = []


#: one job of every kind: parameters and the endpoint they are billed under
KINDS = {
    "chat": ({"model": GPT}, "/v1/chat/completions"),
    "responses": ({"model": GPT, "endpoint": "responses"}, "/v1/responses"),
    "embeddings": ({"model": "text-embedding-3-small"}, "/v1/embeddings"),
    "messages": ({"model": CLAUDE}, "/v1/messages"),
}
PROVIDERS = {"chat": "openai", "responses": "openai", "embeddings": "openai"}


def mixed(lab: Lab, each: int = 2) -> Batch:
    """A batch with so many jobs of every kind, the kinds taking turns."""
    batch = lab.batch().set_default_params(max_tokens=60)
    for number in range(each):
        for kind, (params, _) in KINDS.items():
            batch.add_job(prompt=f"{kind} {number}", id=f"{kind}-{number}", **params)
    return batch


def test_every_endpoint_of_both_vendors_answers_in_one_run(lab: Lab) -> None:
    run = mixed(lab).run()

    results = run.results()
    assert (len(results.completed), len(results)) == (8, 8)
    assert {item.endpoint for item in lab.ledger.items} == {end for _, end in KINDS.values()}
    for kind in KINDS:
        result = results[f"{kind}-0"]
        assert result.provider == PROVIDERS.get(kind, "anthropic")
        assert (result.status, result.is_success, result.attempts) == ("succeeded", True, 1)
        assert result.input_tokens > 0
        assert result.batch_id in {batch.id for batch in lab.ledger.batches}
    assert results["embeddings-0"].extra["embedding"]
    assert results["chat-0"].response == results["chat-0"].raw_response != ""


def test_the_cost_of_a_run_is_the_vendors_bill(lab: Lab) -> None:
    run = mixed(lab, each=5).run()

    status = run.status()
    assert status["cost_usd"] == lab.billed_usd == cost_of(all_of(run).values()) > 0
    assert status["reserved_usd"] == 0
    assert status["input_tokens"] == lab.ledger.input_tokens
    assert status["output_tokens"] == lab.ledger.output_tokens


def test_results_come_in_the_order_of_the_jobs(lab: Lab) -> None:
    lab.play("shuffled")

    run = mixed(lab, each=4).run()

    wanted = [f"{kind}-{number}" for number in range(4) for kind in KINDS]
    assert [result.job_id for result in run.results().iter_all()] == wanted
    assert list(run.results()) == wanted


@pytest.mark.parametrize(
    "params", [{"model": GPT}, {"model": GPT, "endpoint": "responses"}, {"model": CLAUDE}]
)
def test_a_structured_answer_comes_back_as_the_model(lab: Lab, params: dict[str, str]) -> None:
    batch = lab.batch().add_job(prompt="who?", id="a", response_model=Person, **params)

    result = batch.run().results()["a"]

    assert isinstance(result.parsed_response, Person)
    assert result.parsed_response == Person.model_validate_json(result.raw_response or "")


def test_an_answer_to_a_plain_schema_comes_back_as_a_mapping(lab: Lab) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    batch = lab.batch().add_job(prompt="count", id="a", model=GPT, response_schema=schema)

    result = batch.run().results()["a"]

    assert result.parsed_response == orjson.loads(result.raw_response or "")


def test_metadata_stays_here_and_comes_back_with_the_result(lab: Lab) -> None:
    metadata = {"row": 17, "tags": ["x"], "name": "Ünï"}
    batch = lab.batch().add_job(prompt="q", id="a", model=GPT, metadata=metadata)

    result = batch.run().results()["a"]

    sent = next(lab.out.glob("raw_files/requests/*.jsonl")).read_bytes()
    assert result.metadata == metadata
    assert b"row" not in sent


def test_every_kind_of_prompt_is_taken(lab: Lab, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The sky is green.")
    batch = lab.batch().set_default_params(model=CLAUDE, system="Be brief.")
    batch.add_job([{"role": "user", "content": "as a list"}], id="messages")
    batch.add_job(file=note, prompt="what colour?", id="file")
    batch.add_jobs(["a bare prompt", {"prompt": "a mapping", "id": "mapping"}])
    batch.add_jobs(Job(f"job-{n}", CLAUDE, prompt=f"made by hand {n}") for n in range(3))

    run = batch.run()

    assert run.status()["completed"] == 7
    sent = b"".join(path.read_bytes() for path in lab.out.glob("raw_files/requests/*"))
    assert sent.count(b'"system":"Be brief."') == 4
    assert b"The sky is green." in sent


def test_ids_are_the_users_or_made_from_the_content(lab: Lab) -> None:
    batch = lab.batch().set_default_params(model=GPT)
    batch.add_job(prompt="same").add_job(prompt="same").add_job(prompt="other")
    batch.add_job(prompt="same", id="mine: ä/ö 1").add_job(prompt="same", id="x" * 300)

    ids = list(batch.run().results())

    assert len(set(ids)) == 5
    assert ids[1] == f"{ids[0]}-2"
    assert ids[3:] == ["mine: ä/ö 1", "x" * 300]
    assert max(lab.times_billed().values()) == 4


def test_a_result_survives_its_journey_through_json(lab: Lab, tmp_path: Path) -> None:
    batch = lab.batch().set_default_params(model=GPT)
    batch.add_job(prompt="who?", id="a", response_model=Person, metadata={"n": 1})
    result = batch.run().results()["a"]

    result.save_to_json(tmp_path / "deep" / "a.json")

    data = orjson.loads((tmp_path / "deep" / "a.json").read_bytes())
    assert data == orjson.loads(orjson.dumps(result.to_dict()))
    assert JobResult.from_dict(data, Person) == result


def test_lists_and_mapping_show_the_same_results(lab: Lab) -> None:
    lab.play("item-invalid")
    results = lab.chat(40).run().results()

    assert len(results.completed) + len(results.failed) == len(results) == 40
    assert results.failed
    assert results["completed"] == results.completed
    assert results["failed"] == results.failed
    assert results["cancelled"] == results["skipped"] == results.unfinished == []
    assert results[results.failed[0].job_id].status is JobStatus.FAILED
    assert "nobody" not in results
    with pytest.raises(KeyError):
        results["nobody"]


def test_a_run_can_be_had_as_json_and_as_a_table(lab: Lab) -> None:
    run = mixed(lab, each=1).run()

    data, frame = orjson.loads(run.to_json()), run.to_dataframe()

    assert Decimal(str(data["status"]["cost_usd"])) == lab.billed_usd
    assert (
        [row["job_id"] for row in data["results"]] == list(frame["job_id"]) == list(run.results())
    )


@pytest.mark.parametrize(
    ("model", "routes"),
    [
        (GPT, ["files.create", "batches.create", "batches.retrieve", "files.content"]),
        (CLAUDE, ["batches.create", "batches.retrieve", "batches.results"]),
    ],
)
def test_the_look_that_sees_the_end_says_where_the_answers_are(
    lab: Lab, model: str, routes: list[str]
) -> None:
    lab.chat(3, model=model).run()

    assert [each.route.partition(".")[2] for each in lab.box.requests] == routes


def test_a_run_that_was_not_started_says_so(lab: Lab) -> None:
    from batchata import BatchRun, RunConfig

    run = BatchRun(RunConfig(), [])

    with pytest.raises(RunError, match="not started"):
        run.results()
    with pytest.raises(RunError, match="not started"):
        run.status()
