"""Background responses of the sandbox, through the real SDK."""

from __future__ import annotations

import openai
import pytest
from openai.types.responses import Response
from sandbox_lab import Lab

from batchata.gateway import HttpFault, ItemFault

POLL_AFTER = "openai-poll-after-ms"


def begin(lab: Lab, text: str = "hi") -> Response:
    return lab.openai.responses.create(model=lab.model, input=text, background=True, store=True)


def test_a_response_is_queued_then_in_progress_then_completed(lab: Lab) -> None:
    lab.play(background_seconds=10, background_queued_seconds=4)
    begun = begin(lab)
    seen = [begun]
    for seconds in (0, 5, 5):
        lab.clock.now += seconds
        seen.append(lab.openai.responses.retrieve(begun.id))

    assert [each.status for each in seen] == ["queued", "queued", "in_progress", "completed"]
    assert [bool(each.output_text) for each in seen] == [False, False, False, True]
    assert [each.usage is None for each in seen] == [True, True, True, False]


def test_the_pace_is_told_until_it_is_done(lab: Lab) -> None:
    lab.play(background_seconds=10, poll_after_ms=1500)
    raw = lab.openai.responses.with_raw_response
    begun = raw.create(model=lab.model, input="hi", background=True)
    early = raw.retrieve(begun.parse().id)
    lab.clock.now += 10
    late = raw.retrieve(begun.parse().id)

    assert [each.headers.get(POLL_AFTER) for each in (begun, early, late)] == ["1500", "1500", None]


def test_one_that_is_cancelled_before_it_is_done_is_not_billed(lab: Lab) -> None:
    lab.play(background_seconds=10)
    begun = begin(lab)

    assert lab.openai.responses.cancel(begun.id).status == "cancelled"
    lab.clock.now += 20
    assert lab.openai.responses.retrieve(begun.id).status == "cancelled"
    assert lab.openai.responses.cancel(begun.id).status == "cancelled"
    assert lab.box.ledger.live == []


def test_cancelling_one_that_is_done_changes_nothing(lab: Lab) -> None:
    begun = begin(lab)

    assert lab.openai.responses.cancel(begun.id).status == "completed"
    assert len(lab.box.ledger.live) == 1


def test_only_background_responses_can_be_cancelled(lab: Lab) -> None:
    made = lab.openai.responses.create(model=lab.model, input="hi")

    with pytest.raises(openai.BadRequestError, match="background=true"):
        lab.openai.responses.cancel(made.id)


def test_a_response_is_gone_after_its_time(lab: Lab) -> None:
    lab.play(background_seconds=10, response_kept_seconds=100)
    begun = begin(lab)
    lab.clock.now += 109
    assert lab.openai.responses.retrieve(begun.id).status == "completed"

    lab.clock.now += 1
    with pytest.raises(openai.NotFoundError, match=begun.id):
        lab.openai.responses.retrieve(begun.id)


def test_what_is_not_stored_is_there_for_ten_minutes_in_the_background_only(lab: Lab) -> None:
    begun = lab.openai.responses.create(model=lab.model, input="hi", background=True, store=False)
    made = lab.openai.responses.create(model=lab.model, input="hi", store=False)

    assert lab.openai.responses.retrieve(begun.id).status == "completed"
    with pytest.raises(openai.NotFoundError):
        lab.openai.responses.retrieve(made.id)
    lab.clock.now += 600
    with pytest.raises(openai.NotFoundError):
        lab.openai.responses.retrieve(begun.id)


@pytest.mark.parametrize("end", ["failed", "incomplete"])
def test_other_ends_come_as_they_are(lab: Lab, end: str) -> None:
    outcome = "length" if end == "incomplete" else "failed"
    lab.play(background_seconds=10, items=(ItemFault(outcome=outcome),))
    begun = lab.openai.responses.create(
        model=lab.model, input="hi", background=True, max_output_tokens=16
    )
    assert lab.openai.responses.retrieve(begun.id).status == "in_progress"

    lab.clock.now += 10
    assert lab.openai.responses.retrieve(begun.id).status == end


def test_asking_can_be_refused_for_a_while(lab: Lab) -> None:
    begun = begin(lab)
    slow = HttpFault(action="status", route="openai.responses.retrieve", status=429, times=1)
    lab.play(http=(slow,))

    with pytest.raises(openai.RateLimitError):
        lab.openai.responses.retrieve(begun.id)
    assert lab.openai.responses.retrieve(begun.id).status == "completed"
