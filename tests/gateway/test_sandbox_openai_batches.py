"""The files and batches of OpenAI, through the real SDK."""

from typing import Any

import openai
import pytest
from openai.types import Batch
from openai.types.chat import ChatCompletion
from sandbox_lab import START, Lab


def test_a_batch_is_done_at_the_first_poll_and_answers_every_id(lab: Lab) -> None:
    created = lab.batch(10, metadata={"run": "r1"})
    done = lab.poll(created)

    assert created.status == "validating"
    assert done.status == "completed"
    assert done.metadata == {"run": "r1"}
    assert done.error_file_id is None
    ids = {line["custom_id"] for line in lab.lines(done.output_file_id)}
    assert ids == {f"id-{i}" for i in range(10)}


def test_batch_objects_and_lines_validate_against_the_sdk_models(lab: Lab) -> None:
    raw = lab.openai.batches.with_raw_response.retrieve(lab.batch(2).id)
    done = Batch.model_validate_json(raw.content)

    line = lab.lines(done.output_file_id)[0]
    assert set(line) == {"id", "custom_id", "response", "error"}
    assert line["response"]["status_code"] == 200
    ChatCompletion.model_validate(line["response"]["body"])
    assert done.model == lab.model


def test_a_batchs_usage_is_the_sum_of_its_lines(lab: Lab) -> None:
    done = lab.poll(lab.batch(5))

    bodies = [line["response"]["body"] for line in lab.lines(done.output_file_id)]
    assert done.usage is not None
    assert done.usage.total_tokens == sum(body["usage"]["total_tokens"] for body in bodies)


def test_a_slow_batch_goes_through_its_states_and_counts(lab: Lab) -> None:
    lab.play(latency_seconds=100)
    batch = lab.batch(10)

    seen = []
    for moment in (5, 20, 60, 97, 100):
        lab.clock.now = START + moment
        batch = lab.poll(batch)
        assert batch.request_counts is not None
        seen.append((batch.status, batch.request_counts.completed))

    states = ["validating", "in_progress", "in_progress", "finalizing", "completed"]
    assert [status for status, _ in seen] == states
    assert [count for _, count in seen] == [0, 1, 5, 10, 10]
    assert (batch.in_progress_at, batch.completed_at) == (START + 10, START + 100)


def test_a_batch_slower_than_its_window_expires_with_what_is_done(lab: Lab) -> None:
    lab.play(latency_seconds=200, window_seconds=100)
    batch = lab.batch(10)
    lab.clock.now += 100

    done = lab.poll(batch)

    assert done.status == "expired"
    errors = lab.lines(done.error_file_id)
    assert len(lab.lines(done.output_file_id)) == len(errors) == 5
    assert errors[0]["response"] is None
    assert errors[0]["error"]["code"] == "batch_expired"


def test_a_cancelled_batch_keeps_what_was_done(lab: Lab) -> None:
    lab.play(latency_seconds=100, cancel_seconds=30)
    batch = lab.batch(10)
    lab.clock.now += 60
    cancelling = lab.openai.batches.cancel(batch.id)
    lab.clock.now += 30

    done = lab.poll(batch)

    assert (cancelling.status, done.status) == ("cancelling", "cancelled")
    assert len(lab.lines(done.output_file_id)) == 5
    assert len(lab.box.ledger.items) == 5


def test_a_batch_that_is_done_cannot_be_cancelled(lab: Lab) -> None:
    batch = lab.batch(1)

    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'completed'"):
        lab.openai.batches.cancel(batch.id)


def test_batches_are_listed_newest_first_in_pages(lab: Lab) -> None:
    ids = [lab.batch(1).id for _ in range(5)]

    page = lab.openai.batches.list(limit=2)

    assert [batch.id for batch in page.data] == [ids[4], ids[3]]
    assert page.has_more
    assert [batch.id for batch in lab.openai.batches.list(limit=2)] == ids[::-1]


def problem(lab: Lab, lines: list[dict[str, Any]] | bytes) -> tuple[str | None, int | None]:
    done = lab.poll(lab.batch(lines))
    assert done.status == "failed"
    assert done.output_file_id is done.error_file_id is None
    assert done.errors is not None
    assert done.errors.data is not None
    return done.errors.data[0].code, done.errors.data[0].line


def test_a_duplicate_custom_id_fails_the_batch_and_names_the_line(lab: Lab) -> None:
    lines = [lab.chat_line("a"), lab.chat_line("b"), lab.chat_line("a")]

    assert problem(lab, lines) == ("duplicate_custom_id", 3)


def test_two_models_in_one_file_fail_the_batch(lab: Lab) -> None:
    lines = [lab.chat_line("a"), lab.chat_line("b", model="gpt-6-sol")]

    assert problem(lab, lines) == ("model_mismatch", 2)


def test_an_unknown_model_fails_the_batch(lab: Lab) -> None:
    assert problem(lab, [lab.chat_line("a", model="llama-3")]) == ("model_not_found", 1)


def test_a_url_of_another_endpoint_fails_the_batch(lab: Lab) -> None:
    line = lab.chat_line("a") | {"url": "/v1/responses"}

    assert problem(lab, [line]) == ("url_mismatch", 1)


def test_streaming_in_a_batch_fails_it(lab: Lab) -> None:
    assert problem(lab, [lab.chat_line("a", stream=True)]) == ("invalid_request", 1)


def test_a_line_that_is_no_json_fails_the_batch(lab: Lab) -> None:
    assert problem(lab, b'{"custom_id": \n') == ("invalid_json_line", 1)


def test_more_requests_than_the_limit_fail_the_batch(lab: Lab) -> None:
    lab.play(openai_max_requests=2)

    assert problem(lab, [lab.chat_line(f"{i}") for i in range(3)])[0] == "too_many_tasks"


def test_a_failed_batch_is_not_billed(lab: Lab) -> None:
    lab.poll(lab.batch([lab.chat_line("a"), lab.chat_line("a")]))

    assert lab.box.ledger.items == []


def test_a_request_that_is_not_valid_fails_alone_in_the_error_file(lab: Lab) -> None:
    lines = [lab.chat_line("good"), lab.chat_line("bad", colour="red")]

    done = lab.poll(lab.batch(lines))

    assert done.status == "completed"
    assert [line["custom_id"] for line in lab.lines(done.output_file_id)] == ["good"]
    bad = lab.lines(done.error_file_id)[0]
    assert bad["response"]["status_code"] == 400
    assert bad["response"]["body"]["error"]["code"] == "unknown_parameter"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"endpoint": "/v1/nothing"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"),
        ({"extra_body": {"colour": 1}}, "colour"),
    ],
)
def test_a_create_call_is_checked_at_once(lab: Lab, body: dict[str, Any], param: str) -> None:
    given: dict[str, Any] = {
        "input_file_id": lab.upload([lab.chat_line("a")]),
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }

    with pytest.raises(openai.BadRequestError) as caught:
        lab.openai.batches.create(**(given | body))

    assert caught.value.param == param


@pytest.mark.parametrize("endpoint", ["/v1/responses", "/v1/embeddings"])
def test_other_endpoints_run_in_batches_too(lab: Lab, endpoint: Any) -> None:
    body = {"model": lab.model, "input": "hello"}
    line = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}

    done = lab.poll(lab.batch([line], endpoint=endpoint))

    answer = lab.lines(done.output_file_id)[0]["response"]["body"]
    assert answer["object"] in ("response", "list")


def test_too_many_enqueued_tokens_fail_a_batch_until_others_are_through(lab: Lab) -> None:
    lab.play(latency_seconds=100, enqueued_token_limit=25)
    long = [lab.chat_line("a", messages=[{"role": "user", "content": "x" * 80}])]
    first, second = lab.batch(long), lab.batch(long)
    lab.clock.now += 100
    third = lab.batch(long)
    lab.clock.now += 100

    states = [lab.poll(batch) for batch in (first, second, third)]

    assert [batch.status for batch in states] == ["completed", "failed", "completed"]
    assert states[1].errors is not None
    assert states[1].errors.data is not None
    assert states[1].errors.data[0].code == "token_limit_exceeded"
    assert "Enqueued token limit" in (states[1].errors.data[0].message or "")


def test_a_file_is_shown_listed_downloaded_and_deleted(lab: Lab) -> None:
    file_id = lab.upload(b'{"a": 1}\n')

    shown = lab.openai.files.retrieve(file_id)
    assert (shown.filename, shown.bytes, shown.purpose) == ("jobs.jsonl", 9, "batch")
    assert [file.id for file in lab.openai.files.list(purpose="batch")] == [file_id]
    assert lab.raw(file_id) == b'{"a": 1}\n'
    assert lab.openai.files.delete(file_id).deleted
    with pytest.raises(openai.NotFoundError):
        lab.openai.files.retrieve(file_id)


def test_a_file_goes_away_when_it_expires(lab: Lab) -> None:
    uploaded = lab.openai.files.create(
        file=("jobs.jsonl", b"{}\n"),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )

    lab.clock.now += 3601

    assert uploaded.expires_at == START + 3600
    with pytest.raises(openai.NotFoundError):
        lab.raw(uploaded.id)


def test_a_download_honours_a_range(lab: Lab) -> None:
    file_id = lab.upload(b"0123456789\n")

    part = lab.openai.files.with_raw_response.content(file_id, extra_headers={"Range": "bytes=4-"})

    assert part.http_response.status_code == 206
    assert part.content == b"456789\n"


@pytest.mark.parametrize(
    ("name", "data", "settings"),
    [
        ("jobs.txt", b"{}\n", {}),
        ("jobs.jsonl", b"", {}),
        ("jobs.jsonl", b"x" * 100, {"openai_max_bytes": 50}),
    ],
)
def test_an_upload_that_no_batch_could_use_is_refused(
    lab: Lab, name: str, data: bytes, settings: dict[str, Any]
) -> None:
    lab.play(**settings)

    with pytest.raises(openai.APIStatusError):
        lab.openai.files.create(file=(name, data), purpose="batch")

    assert lab.openai.files.list().data == []
