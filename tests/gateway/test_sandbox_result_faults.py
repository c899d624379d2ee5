"""What result files look like when the vendor has a bad day."""

from typing import Any

import orjson
import pytest
from sandbox_lab import Lab

IDS = [f"id-{i}" for i in range(20)]


def openai_ids(lab: Lab, faults: str, n: int = 20) -> tuple[list[str], list[str]]:
    lab.play(faults)
    done = lab.poll(lab.batch(n))
    return (
        [line["custom_id"] for line in lab.lines(done.output_file_id)],
        [line["custom_id"] for line in lab.lines(done.error_file_id)] if done.error_file_id else [],
    )


def claude_ids(lab: Lab, faults: str, n: int = 20) -> list[str]:
    lab.play(faults)
    raw = lab.claude_raw(lab.claude_poll(lab.claude_batch(n)))
    return [orjson.loads(line)["custom_id"] for line in raw.split(b"\n") if line.strip()]


def test_lines_come_in_another_order(lab: Lab) -> None:
    output, _ = openai_ids(lab, "shuffled")

    assert output != IDS
    assert sorted(output) == sorted(IDS)
    assert sorted(claude_ids(lab, "shuffled")) == sorted(IDS)


def test_an_id_can_stand_in_both_files(lab: Lab) -> None:
    output, errors = openai_ids(lab, "both-files")

    assert output == IDS
    assert errors == IDS[:4]


def test_lines_can_come_twice(lab: Lab) -> None:
    assert openai_ids(lab, "duplicate-lines")[0] == IDS + IDS[:4]
    assert claude_ids(lab, "duplicate-lines") == IDS + IDS[:4]


def test_ids_can_be_missing_and_are_there_at_the_next_attempt(lab: Lab) -> None:
    output, errors = openai_ids(lab, "missing-ids")

    assert (output, errors) == (IDS[4:], [])
    again = lab.poll(lab.batch(20))
    assert [line["custom_id"] for line in lab.lines(again.output_file_id)] == IDS
    assert claude_ids(lab, "missing-ids") == IDS[4:]


def test_an_id_nobody_sent_can_be_there(lab: Lab) -> None:
    assert set(openai_ids(lab, "unknown-id")[0]) - set(IDS) == {"unknown-sandbox-id"}
    assert set(claude_ids(lab, "unknown-id")) - set(IDS) == {"unknown-sandbox-id"}


def test_the_output_file_can_be_null_on_a_completed_batch(lab: Lab) -> None:
    lab.play("null-output-file")

    done = lab.poll(lab.batch(3))

    assert (done.status, done.output_file_id) == ("completed", None)


def test_the_error_file_can_have_no_bytes(lab: Lab) -> None:
    lab.play("empty-error-file")

    done = lab.poll(lab.batch(3))

    assert lab.raw(done.error_file_id) == b""


def test_all_items_can_fail_and_then_cost_nothing(lab: Lab) -> None:
    lab.play("all-errors")
    done = lab.poll(lab.batch(3))

    assert done.output_file_id is None
    assert {line["response"]["status_code"] for line in lab.lines(done.error_file_id)} == {500}
    assert done.request_counts is not None
    assert done.request_counts.failed == 3
    assert lab.box.ledger.items == []


def test_lines_can_end_in_crlf_with_blank_lines_after(lab: Lab) -> None:
    lab.play("crlf")

    raw = lab.raw(lab.poll(lab.batch(3)).output_file_id)

    assert raw.endswith(b"}\r\n\r\n")
    assert raw.count(b"}\r\n") == 3


def test_the_last_line_can_be_cut(lab: Lab) -> None:
    lab.play("truncated-line")

    lines = lab.raw(lab.poll(lab.batch(3)).output_file_id).split(b"\n")

    assert len(lines) == 3
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(lines[-1])


def test_a_line_in_the_middle_can_be_broken(lab: Lab) -> None:
    lab.play("unparsable-line")

    lines = lab.raw(lab.poll(lab.batch(3)).output_file_id).split(b"\n")

    assert len(lines) == 4
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(lines[1])


def test_line_separators_of_unicode_can_stand_inside_the_json(lab: Lab) -> None:
    lab.play("unicode-separators")

    raw = lab.raw(lab.poll(lab.batch(3)).output_file_id)

    assert len(raw.decode().splitlines()) > 3
    assert len(raw.split(b"\n")) == 4


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("expired", "expired", "batch_expired"),
        ("vendor-cancelled", "cancelled", "batch_cancelled"),
    ],
)
def test_a_batch_can_end_early_with_half_its_items(
    lab: Lab, fault: str, status: str, code: str
) -> None:
    lab.play(fault)
    done = lab.poll(lab.batch(10))

    assert done.status == status
    assert len(lab.lines(done.output_file_id)) == 5
    assert {line["error"]["code"] for line in lab.lines(done.error_file_id)} == {code}
    assert len(lab.box.ledger.items) == 5


@pytest.mark.parametrize(
    ("fault", "kind"), [("expired", "expired"), ("vendor-cancelled", "canceled")]
)
def test_a_message_batch_can_end_early_with_half_its_items(lab: Lab, fault: str, kind: str) -> None:
    lab.play(fault)
    batch = lab.claude_poll(lab.claude_batch(10))

    kinds = [row.result.type for row in lab.anthropic.messages.batches.results(batch.id)]

    assert kinds.count("succeeded") == kinds.count(kind) == 5


@pytest.mark.parametrize(
    ("fault", "code"),
    [("failed-batch", "server_error"), ("token-limit-once", "token_limit_exceeded")],
)
def test_a_batch_can_fail_as_a_whole_and_pass_when_sent_again(
    lab: Lab, fault: str, code: str
) -> None:
    lab.play(fault)

    first, second = lab.poll(lab.batch(2)), lab.poll(lab.batch(2))

    assert (first.status, second.status) == ("failed", "completed")
    assert first.errors is not None
    assert first.errors.data is not None
    assert first.errors.data[0].code == code


def test_three_polls_can_show_a_status_nobody_knows(lab: Lab) -> None:
    lab.play("unknown-status")
    batch, message_batch = lab.batch(1), lab.claude_batch(1)

    seen = [lab.poll(batch).status for _ in range(4)]
    claude = [lab.claude_poll(message_batch).processing_status for _ in range(4)]

    assert seen == ["paused", "paused", "paused", "completed"]
    assert claude == ["paused", "paused", "paused", "ended"]


def test_a_stuck_batch_never_leaves_its_first_state_but_can_be_cancelled(lab: Lab) -> None:
    lab.play("stuck-validating")
    batch = lab.batch(3)
    lab.clock.now += 1_000_000

    assert lab.poll(batch).status == "validating"
    lab.openai.batches.cancel(batch.id)
    done = lab.poll(batch)
    assert (done.status, done.output_file_id) == ("cancelled", None)


def test_a_cancellation_can_take_its_time(lab: Lab) -> None:
    lab.play("slow-cancel", latency_seconds=100)
    batch = lab.batch(4)
    lab.openai.batches.cancel(batch.id)

    lab.clock.now += 599
    assert lab.poll(batch).status == "cancelling"
    lab.clock.now += 1
    assert lab.poll(batch).status == "cancelled"


def test_results_url_can_name_another_host(lab: Lab) -> None:
    lab.play("results-elsewhere")

    done = lab.claude_poll(lab.claude_batch(1))

    assert (done.results_url or "").startswith("http://results.invalid/v1/messages/batches/")


def test_a_new_batch_can_be_late_in_the_listing(lab: Lab) -> None:
    lab.play("listing-delay")
    batch, message_batch = lab.batch(1), lab.claude_batch(1)

    for _ in range(2):
        assert lab.openai.batches.list().data == []
        assert lab.anthropic.messages.batches.list().data == []
    assert [b.id for b in lab.openai.batches.list().data] == [batch.id]
    assert [b.id for b in lab.anthropic.messages.batches.list().data] == [message_batch.id]


def test_foreign_batches_look_alike_but_answer_other_ids(lab: Lab) -> None:
    lab.play("foreign-batches")
    own = lab.claude_batch(3)

    listed: list[Any] = list(lab.anthropic.messages.batches.list(limit=10))

    assert len(listed) == 31
    assert {batch.created_at for batch in listed} == {own.created_at}
    foreign = next(batch for batch in listed if batch.id != own.id)
    assert sum(foreign.request_counts.to_dict().values()) == 3
    rows = lab.anthropic.messages.batches.results(foreign.id)
    assert all(row.custom_id.startswith("foreign") for row in rows)
    ledger = lab.box.ledger
    assert [batch.id for batch in ledger.batches] == [own.id]
    assert ledger.billed_items == 3


def test_foreign_openai_batches_carry_no_metadata_of_ours(lab: Lab) -> None:
    lab.play("foreign-batches")
    own = lab.batch(2, metadata={"run": "ours"})

    tagged = [batch.id for batch in lab.openai.batches.list(limit=10) if batch.metadata]

    assert tagged == [own.id]


@pytest.mark.parametrize(("fault", "seconds"), [("clock-skew", 300), ("clock-behind", -300)])
def test_the_servers_clock_can_be_wrong(lab: Lab, fault: str, seconds: int) -> None:
    lab.play(fault)

    assert lab.batch(1).created_at == lab.clock.now + seconds
