"""Anthropic's message batches in front of a live server, with the official SDK and our own."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import anthropic
import pytest
from batch_lab import HeldModel, chat, gateway, submit, until
from openai import OpenAI
from sandbox_lab import Lab

from batchata import Batch


def item(custom_id: str, text: str = "hello", **params: Any) -> Any:
    """One request of a batch."""
    said = {"model": "claude-haiku-5-5", "max_tokens": 50, "messages": [user(text)], **params}
    return {"custom_id": custom_id, "params": said}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def client_of(url: str, key: str = "k") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)


def ended(client: anthropic.Anthropic, batch_id: str) -> Any:
    def look() -> Any:
        batch = client.messages.batches.retrieve(batch_id)
        return batch if batch.processing_status == "ended" else None

    return until(look)


def counts_of(batch: Any) -> dict[str, int]:
    return {name: count for name, count in batch.request_counts.to_dict().items() if count}


def test_messages_are_answered_live_and_each_has_its_result(lab: Lab, tmp_path: Path) -> None:
    with gateway(lab.box.url, tmp_path) as door, client_of(door.anthropic_base_url) as client:
        batches = client.messages.batches
        made = batches.create(
            requests=[item("a"), item("bad", max_tokens=-1), item("b", model="claude-sonnet-5")]
        )
        assert (made.processing_status, made.request_counts.processing) == ("in_progress", 3)
        with (
            client_of(door.anthropic_base_url, "sk-other") as stranger,
            pytest.raises(anthropic.NotFoundError),
        ):
            stranger.messages.batches.retrieve(made.id)
        batch = ended(client, made.id)
        found = {each.custom_id: each.result for each in batches.results(made.id)}
        assert [each.id for each in batches.list()] == [made.id]
        batches.delete(made.id)
        with pytest.raises(anthropic.NotFoundError):
            batches.retrieve(made.id)

    assert counts_of(batch) == {"succeeded": 2, "errored": 1}
    assert found["a"].message.content[0].text
    assert found["a"].message.model == "claude-haiku-5-5"
    assert found["bad"].error.error.type == "invalid_request_error"
    assert "max_tokens" in found["bad"].error.error.message
    assert {each.model for each in lab.box.ledger.live} == {"claude-haiku-5-5", "claude-sonnet-5"}
    assert not list((tmp_path / "batches").iterdir())


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "at least 1 item"),
        ([item("a"), item("a")], "requests.1.custom_id"),
        ([item("a"), item("b", stream=True)], "requests.1.params.stream"),
        ([{"custom_id": "a", "params": {"max_tokens": 1}}], "requests.0.params.model"),
    ],
)
def test_requests_that_make_no_batch_are_refused_at_once(
    tmp_path: Path, items: list[Any], said: str
) -> None:
    with (
        gateway("http://127.0.0.1:9", tmp_path) as door,
        client_of(door.anthropic_base_url) as client,
        pytest.raises(anthropic.BadRequestError, match=said),
    ):
        client.messages.batches.create(requests=items)

    assert not list((tmp_path / "batches").iterdir()) + list((tmp_path / "files").iterdir())


def test_a_cancelled_batch_keeps_its_answers_and_the_rest_is_canceled(tmp_path: Path) -> None:
    model = HeldModel()
    with (
        model.upstream() as upstream,
        gateway(upstream.url, tmp_path, batches={"concurrency": 1}) as door,
        client_of(door.anthropic_base_url) as client,
    ):
        batches = client.messages.batches
        made = batches.create(requests=[item("a", "a"), item("h", "hold"), item("b", "b")])
        until(lambda: model.asked["hold"])
        assert batches.cancel(made.id).processing_status == "canceling"
        with pytest.raises(anthropic.BadRequestError, match="in progress"):
            batches.delete(made.id)
        model.go_on.set()
        batch = ended(client, made.id)
        found = {each.custom_id: each.result.type for each in batches.results(made.id)}

    assert counts_of(batch) == {"succeeded": 2, "canceled": 1}
    assert found == {"a": "succeeded", "h": "succeeded", "b": "canceled"}
    assert not model.asked["b"]


def test_our_own_batch_route_goes_through_it(lab: Lab, tmp_path: Path) -> None:
    with gateway(lab.box.url, tmp_path / "kept") as door:
        batch = Batch(tmp_path / "out", items_per_batch=2, raw_files=False).set_polling(0.02)
        batch.set_provider("anthropic", base_url=door.anthropic_base_url, api_key="k")
        for number in range(3):
            batch.add_job(prompt=f"question {number}", model="claude-haiku-5-5", max_tokens=50)
        run = batch.run()

    assert len(run.results().completed) == 3
    assert len(lab.box.ledger.live) == 3


def test_requests_are_on_disk_to_stay_before_their_batch_is(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, str]] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append((os.fstat(fd).st_ino, threading.current_thread().name))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    with gateway(lab.box.url, tmp_path) as door:
        with client_of(door.anthropic_base_url) as claude:
            made = [claude.messages.batches.create(requests=[item("a")]).id]
        with OpenAI(base_url=door.openai_base_url, api_key="k", max_retries=0) as client:
            made.append(submit(client, [chat("a")]))
        places = [tmp_path / "batches" / each for each in made]
        inputs = [(place / "input.jsonl").stat().st_ino for place in places]
    order = [inode for inode, _ in synced]

    assert set(inputs) <= set(order)
    for place, requests in zip(places, inputs, strict=True):
        named = order.index(place.stat().st_ino)  # when the record of the batch has its name
        assert order.index(requests) < named
    loops = [inode for inode, thread in synced if thread == "batchata-gateway"]
    assert not set(inputs) & set(loops), "what may be large holds up no other call"
