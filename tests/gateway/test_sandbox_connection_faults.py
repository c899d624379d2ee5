"""Connections that break, answers that are late, statuses that say no."""

import time
from email.utils import parsedate_to_datetime
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from sandbox_lab import START, Lab

from batchata.gateway import HttpFault


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("http-500", [500, 500, 200]),
        ("http-502", [502, 502, 200]),
        ("http-503", [503, 503, 503, 503, 503, 200]),
        ("http-529", [529, 529, 200]),
        ("poll-rate-limit", [429, 429, 200]),
    ],
)
def test_polls_can_fail_for_a_while(lab: Lab, fault: str, statuses: list[int]) -> None:
    batch = lab.batch(1)
    lab.play(fault)

    seen = []
    for _ in statuses:
        try:
            seen.append(lab.openai.batches.with_raw_response.retrieve(batch.id).status_code)
        except openai.APIStatusError as error:
            seen.append(error.status_code)

    assert seen == statuses


def refused_poll(lab: Lab, fault: str) -> openai.RateLimitError:
    batch = lab.batch(1)
    lab.play(fault)
    with pytest.raises(openai.RateLimitError) as caught:
        lab.poll(batch)
    return caught.value


def test_retry_after_can_be_seconds_or_a_date(lab: Lab) -> None:
    seconds = refused_poll(lab, "retry-after-300").response.headers["retry-after"]
    date = refused_poll(lab, "retry-after-date").response.headers["retry-after"]

    assert seconds == "300"
    assert parsedate_to_datetime(date).timestamp() == START + 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("insufficient-quota", "insufficient_quota"),
        ("credit-exhausted", "credit_balance_exhausted"),
    ],
)
def test_money_can_run_out_after_the_first_openai_batch(lab: Lab, fault: str, code: str) -> None:
    lab.play(fault)
    lab.batch(1)

    with pytest.raises(openai.RateLimitError) as caught:
        lab.batch(1)

    assert caught.value.code == code
    assert len(lab.box.ledger.batches) == 1


def test_the_spend_limit_of_anthropic_comes_without_retry_after(lab: Lab) -> None:
    lab.play("spend-limit")
    lab.claude_batch(1)

    with pytest.raises(anthropic.RateLimitError) as caught:
        lab.claude_batch(1)

    body: Any = caught.value.body
    assert body["error"]["details"]["error_code"] == "enforced_spend_limit_reached"
    assert "retry-after" not in caught.value.response.headers


def test_a_key_can_be_bad(lab: Lab) -> None:
    lab.play("bad-key")

    with pytest.raises(openai.AuthenticationError):
        lab.batch(1)
    with pytest.raises(anthropic.AuthenticationError):
        lab.claude_batch(1)


@pytest.mark.parametrize(("fault", "accepted"), [("cut-before-create", 0), ("cut-after-create", 1)])
def test_a_cut_connection_does_not_tell_whether_the_batch_exists(
    lab: Lab, fault: str, accepted: int
) -> None:
    lab.play(fault)
    with pytest.raises(openai.APIConnectionError):
        lab.batch(2, metadata={"token": "t1"})

    found = [batch.metadata for batch in lab.openai.batches.list()]
    assert found == [{"token": "t1"}] * accepted
    assert len(lab.box.ledger.batches) == accepted


@pytest.mark.parametrize(("fault", "accepted"), [("cut-before-create", 0), ("cut-after-create", 1)])
def test_a_cut_connection_does_not_tell_whether_the_message_batch_exists(
    lab: Lab, fault: str, accepted: int
) -> None:
    lab.play(fault)
    with pytest.raises(anthropic.APIConnectionError):
        lab.claude_batch(2)

    assert len(lab.anthropic.messages.batches.list().data) == accepted


def test_a_502_can_hide_an_accepted_batch(lab: Lab) -> None:
    lab.play("502-after-create")
    with pytest.raises(openai.InternalServerError):
        lab.batch(1)

    assert len(lab.openai.batches.list().data) == 1


def test_a_create_can_hang_after_it_was_accepted(lab: Lab) -> None:
    lab.play("hang-after-create")
    file_id = lab.upload([lab.chat_line("a")])

    with pytest.raises(openai.APITimeoutError):
        lab.openai.with_options(timeout=0.5).batches.create(
            input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
        )

    assert len(lab.box.ledger.batches) == 1


def test_an_upload_can_be_cut(lab: Lab) -> None:
    lab.play("cut-upload")

    with pytest.raises(openai.APIConnectionError):
        lab.upload([lab.chat_line("a")])

    assert lab.openai.files.list().data == []


def test_a_download_can_be_cut_and_goes_on_with_a_range(lab: Lab) -> None:
    done = lab.poll(lab.batch(20))
    assert done.output_file_id is not None
    whole = lab.raw(done.output_file_id)
    lab.play("truncated-download")

    got = b""
    for _ in range(3):
        wanted = {"Range": f"bytes={len(got)}-"} if got else {}
        content = lab.openai.files.with_streaming_response.content
        try:
            with content(done.output_file_id, extra_headers=wanted) as answer:
                for piece in answer.iter_bytes():
                    got += piece
        except (openai.APIConnectionError, httpx2.HTTPError):
            continue

    assert got == whole


def test_message_results_can_be_cut_too(lab: Lab) -> None:
    batch = lab.claude_poll(lab.claude_batch(20))
    whole = lab.claude_raw(batch)
    lab.play("truncated-download")

    for _ in range(2):
        with pytest.raises(anthropic.APIConnectionError):
            lab.claude_raw(batch)
    assert lab.claude_raw(batch) == whole


def test_an_answered_live_call_can_be_lost_and_is_billed(lab: Lab) -> None:
    lab.play("live-cut-after")

    with pytest.raises(anthropic.APIConnectionError):
        lab.anthropic.messages.create(**lab.params())

    assert len(lab.box.ledger.live) == 1


def test_a_share_of_live_calls_fails_at_the_first_attempt_only(lab: Lab) -> None:
    lab.play("live-503")

    failed = 0
    for i in range(20):
        try:
            lab.anthropic.messages.create(**lab.params(f"q{i}"))
        except anthropic.APIStatusError as error:
            failed += error.status_code == 503
            lab.anthropic.messages.create(**lab.params(f"q{i}"))

    assert 0 < failed < 15


def test_an_answer_can_be_slow(lab: Lab) -> None:
    lab.play(http=(HttpFault(action="slow", route="openai.models.list", seconds=0.02),))
    start = time.perf_counter()

    lab.openai.models.list()

    assert time.perf_counter() - start >= 0.02


def test_a_stream_can_break_with_an_error_event(lab: Lab) -> None:
    lab.play("stream-error")

    with (
        pytest.raises(anthropic.APIStatusError, match="overloaded"),
        lab.anthropic.messages.stream(**lab.params()) as stream,
    ):
        stream.get_final_message()
    with pytest.raises(openai.APIError):
        list(
            lab.openai.chat.completions.create(
                model=lab.model, messages=[{"role": "user", "content": "x"}], stream=True
            )
        )


def test_a_fault_can_wait_for_the_nth_request(lab: Lab) -> None:
    lab.play(http=(HttpFault(action="status", route="openai.files.list", skip=2, times=1),))

    seen = []
    for _ in range(4):
        try:
            lab.openai.files.list()
            seen.append(200)
        except openai.InternalServerError:
            seen.append(500)

    assert seen == [200, 200, 500, 200]
