"""What every implementation of a port must do, as pytest classes: subclass one, say how to make
yours, and its tests run.

    class TestMyCodec(CodecContract):
        models = ("my-model",)

        def make_codec(self) -> Codec:
            return MyCodec()
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from batchata.core.errors import ProviderRejectedError, ValidationError
from batchata.core.job import SAFE_ID, Job
from batchata.core.result import Answer, Failure
from batchata.core.status import RemoteState, SubmissionStatus
from batchata.core.submission import Shape, Submission
from batchata.ports import BatchAPI, BatchLook, CannotTell, Codec, Found, Provider
from batchata.testing.background_contract import BackgroundAPIContract
from batchata.testing.files_contract import FilesAPIContract
from batchata.testing.store_contract import StoreContract
from batchata.testing.vendor_contract import VendorContract

__all__ = [
    "BackgroundAPIContract",
    "BatchAPIContract",
    "CodecContract",
    "FilesAPIContract",
    "ProviderContract",
    "StoreContract",
]

TOKEN = "b0123456789abcde"
_ENOUGH_LOOKS = 200


class CodecContract:
    """For `Codec`: deterministic, bounded, and never in trouble with what a vendor sends."""

    #: names of models as the vendor knows them
    models: tuple[str, ...] = ("fake-model",)
    #: (shape's model, answer body, text in it): answers as the vendor writes them
    answers: tuple[tuple[str, bytes, str], ...] = ()

    def make_codec(self) -> Codec:
        """A codec as a run makes it."""
        raise NotImplementedError

    def encoded(self, **fields: Any) -> Any:
        """A job of the first model, encoded."""
        job = Job("a", self.models[0], **{"prompt": "What is new?", **fields})
        return self.make_codec().encode(job, self.models[0])

    def test_every_model_gets_a_json_body_and_a_shape_that_names_it(self) -> None:
        for model in self.models:
            found = self.make_codec().encode(Job("a", model, prompt="What is new?"), model)

            assert isinstance(orjson.loads(found.body), dict)
            assert found.shape.model == model
            assert found.shape.provider
            assert found.shape.endpoint

    def test_the_prompt_is_in_the_body(self) -> None:
        assert b"What is new?" in self.encoded().body

    def test_the_same_question_has_the_same_bytes_in_every_process(self) -> None:
        assert self.encoded(params={"b": 1, "a": 2}) == self.encoded(params={"b": 1, "a": 2})

    def test_id_and_metadata_are_not_sent(self) -> None:
        named = Job("secret-id", self.models[0], prompt="q", metadata={"secret": "x"})

        body = self.make_codec().encode(named, self.models[0]).body

        assert b"secret" not in body

    def test_bounds_hold_for_any_prompt(self) -> None:
        short, long = self.encoded(prompt="q"), self.encoded(prompt="ä€😀 " * 500)

        assert 0 < short.input_bound < long.input_bound
        assert long.input_bound >= len("ä€😀 ".encode()) * 500 // 4

    def test_the_cap_of_the_answer_bounds_it(self) -> None:
        low, high = self.encoded(max_tokens=10), self.encoded(max_tokens=1000)

        assert (low.output_bound, high.output_bound) == (10, 1000) or (
            low.output_bound == high.output_bound == 0
        )

    def test_what_json_cannot_say_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.encoded(params={"odd": object()})

    def test_asking_again_shows_the_answer_and_its_errors_in_the_same_bytes_each_time(self) -> None:
        first = self.encoded()
        again = self.make_codec().with_errors
        if again is None:
            return

        body = again(first.shape, first.body, "my old answer", ["age: not a number"])

        assert all(said in body for said in (b"What is new?", b"my old answer", b"age: not a"))
        assert body == again(first.shape, first.body, "my old answer", ["age: not a number"])

    def test_answers_are_read(self) -> None:
        for model, body, text in self.answers:
            shape = self.make_codec().encode(Job("a", model, prompt="q"), model).shape

            found = self.make_codec().decode(shape, body)

            assert isinstance(found, Answer)
            assert found.text == text

    def test_an_answer_cut_anywhere_is_a_failure_and_no_exception(self) -> None:
        for model, body, _ in self.answers:
            shape = self.make_codec().encode(Job("a", model, prompt="q"), model).shape

            for end in range(len(body)):
                assert isinstance(self.make_codec().decode(shape, body[:end]), Failure)

    @pytest.mark.parametrize(
        "body", [b"", b"null", b"[]", b"{}", b'"text"', b"\xff\xfe", b"1", b"{" * 100]
    )
    def test_no_answer_at_all_is_a_failure_and_no_exception(self, body: bytes) -> None:
        shape = self.encoded().shape

        assert isinstance(self.make_codec().decode(shape, body), (Answer, Failure))


class ProviderContract:
    """For `Provider`: what is there is there, what is not is None, and closing is always safe."""

    def make_provider(self) -> Provider:
        """A provider as the registry makes it: without a key, nothing asked of it yet."""
        raise NotImplementedError

    def test_it_has_a_name_and_a_codec(self) -> None:
        provider = self.make_provider()

        assert provider.name.isidentifier()
        assert callable(provider.codec.encode)

    def test_it_offers_an_api_and_says_none_of_the_others(self) -> None:
        provider = self.make_provider()

        assert provider.batch is not None or provider.live is not None

    def test_it_can_be_closed_before_it_was_used_and_twice(self) -> None:
        provider = self.make_provider()

        async def main() -> None:
            await provider.aclose()
            await provider.aclose()

        asyncio.run(main())


class BatchAPIContract(VendorContract):
    """For `BatchAPI`: a batch goes out and comes back whole, is found again, and can be stopped."""

    def test_a_batch_comes_back_whole(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> tuple[BatchLook, dict[str, Any]]:
            sent = await send(provider, tmp_path, self.model, 3)
            look = await final(api_of(provider), sent.remote_id or "")
            return look, await answers_of(provider, sent, tmp_path)

        look, found = self.ask(tmp_path, work)

        assert look.state is RemoteState.COMPLETED
        assert (look.counts.total, look.counts.succeeded) == (3, 3)
        assert len(found) == 3
        assert all(isinstance(answer, Answer) and answer.text for answer in found.values())

    def test_results_can_be_fetched_again(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> list[list[bytes]]:
            sent = await send(provider, tmp_path, self.model, 2)
            await final(api_of(provider), sent.remote_id or "")
            twice = [await fetch(provider, sent, tmp_path) for _ in range(2)]
            return [[path.read_bytes() for path in paths] for paths in twice]

        first, second = self.ask(tmp_path, work)

        assert first == second != []

    def test_a_lost_batch_is_found_by_its_token(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> tuple[Submission, Any]:
            sent = await send(provider, tmp_path, self.model, 2)
            await final(api_of(provider), sent.remote_id or "")
            lost = sent.moved(SubmissionStatus.UNRESOLVED, remote_id=None)
            return sent, await api_of(provider).find(lost, frozenset())

        sent, found = self.ask(tmp_path, work)

        assert found == Found(sent.remote_id or "")

    def test_a_batch_of_another_token_is_not_taken_for_it(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> Any:
            sent = await send(provider, tmp_path, self.model, 2)
            await final(api_of(provider), sent.remote_id or "")
            other = submission(provider, sent.model, 2, token="b" + "9" * 15)
            return await api_of(provider).find(other, frozenset())

        assert not isinstance(self.ask(tmp_path, work), Found)

    def test_a_vendor_without_any_batch_finds_none(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> Any:
            return await api_of(provider).find(submission(provider, self.model, 1), frozenset())

        found = self.ask(tmp_path, work)

        assert not isinstance(found, (Found, CannotTell))

    def test_an_ended_batch_takes_a_cancel_without_complaint(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> BatchLook:
            sent = await send(provider, tmp_path, self.model, 1)
            await final(api_of(provider), sent.remote_id or "")
            await api_of(provider).cancel(sent.remote_id or "")
            return await api_of(provider).look(sent.remote_id or "")

        assert self.ask(tmp_path, work).state is RemoteState.COMPLETED

    def test_a_batch_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> None:
            await api_of(provider).look("no-such-batch")

        with pytest.raises(ProviderRejectedError):
            self.ask(tmp_path, work)

    def test_an_upload_without_a_batch_can_be_removed(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> None:
            api = api_of(provider)
            sent, path = await prepare(provider, tmp_path, self.model, 1)
            reference = await api.upload(sent, path)
            await api.forget(sent.moved(sent.status, input_ref=reference))

        self.ask(tmp_path, work)

    def test_an_upload_whose_answer_was_lost_is_used_where_it_is_found(
        self, tmp_path: Path
    ) -> None:
        async def work(provider: Provider) -> tuple[str | None, str | None]:
            sent, path = await prepare(provider, tmp_path, self.model, 1)
            reference = await api_of(provider).upload(sent, path)
            return reference, await api_of(provider).uploaded(sent, path)

        reference, found = self.ask(tmp_path, work)

        assert found in (reference, None)

    @pytest.mark.parametrize("job_id", ["a", "x" * 300, "ä ö/ü", "a.b", " "])
    def test_custom_ids_are_names_that_vendors_take(self, tmp_path: Path, job_id: str) -> None:
        with self.open_provider(tmp_path) as make:
            api = api_of(make())

            custom_id = api.custom_id(TOKEN, job_id)

            assert SAFE_ID.match(custom_id)
            assert custom_id == api.custom_id(TOKEN, job_id)
            assert custom_id != api.custom_id(TOKEN, job_id + "z")

    def test_equal_shapes_share_a_batch_and_its_limits_are_there(self, tmp_path: Path) -> None:
        with self.open_provider(tmp_path) as make:
            provider = make()
            api = api_of(provider)
            shape = shape_of(provider, self.model)

            assert api.group(shape) == api.group(shape_of(provider, self.model))
            assert api.limits.requests > 0
            assert api.limits.size_bytes > 0
            assert api.poll_seconds >= 0
            assert api.request_suffix in (".json", ".jsonl")


def api_of(provider: Provider) -> BatchAPI:
    """The provider's batch API, which the contract is about."""
    assert provider.batch is not None
    return provider.batch


def shape_of(provider: Provider, model: str) -> Shape:
    """The shape of a plain question."""
    return provider.codec.encode(Job("a", model, prompt="q"), model).shape


def submission(provider: Provider, model: str, jobs: int, *, token: str = TOKEN) -> Submission:
    """A submission of so many jobs that is about to be sent."""
    shape = shape_of(provider, model)
    now_us = int(time.time() * 1e6)
    return Submission(
        token=token,
        provider=provider.name,
        endpoint=shape.endpoint,
        model=model,
        wire_version=shape.wire_version,
        seqs=array("I", range(jobs)),
        status=SubmissionStatus.INTENDED,
        intended_us=now_us,
        sent_us=now_us,
    )


async def prepare(
    provider: Provider, folder: Path, model: str, jobs: int
) -> tuple[Submission, Path]:
    """A submission and its request file, as the engine writes it."""
    api, sent = api_of(provider), submission(provider, model, jobs)
    path = folder / f"sending{api.request_suffix}"
    lines = [_line(provider, api, model, number) for number in range(jobs)]
    path.write_bytes(api.head + api.separator.join(lines) + api.tail)
    return sent, path


def _line(provider: Provider, api: BatchAPI, model: str, number: int) -> bytes:
    encoded = provider.codec.encode(Job("a", model, prompt=f"question {number}"), model)
    return api.line(api.custom_id(TOKEN, f"job-{number}"), encoded.shape, encoded.body)


async def send(provider: Provider, folder: Path, model: str, jobs: int) -> Submission:
    """Upload and create, as the engine does."""
    sent, path = await prepare(provider, folder, model, jobs)
    reference = await api_of(provider).upload(sent, path)
    sent = sent.moved(SubmissionStatus.CREATING, input_ref=reference)
    remote_id = await api_of(provider).create(sent, path)
    return sent.moved(SubmissionStatus.ACCEPTED, remote_id=remote_id)


async def final(api: BatchAPI, remote_id: str) -> BatchLook:
    """Look until the vendor has a final word."""
    for _ in range(_ENOUGH_LOOKS):
        look = await api.look(remote_id)
        if look.state.is_final:
            return look
        await asyncio.sleep(0.01)
    raise AssertionError(f"batch {remote_id} does not end")


async def fetch(provider: Provider, sent: Submission, folder: Path) -> Sequence[Path]:
    """Download the results of an ended batch."""
    target = folder / "results"
    target.mkdir(exist_ok=True)
    return await api_of(provider).download(sent.remote_id or "", target)


async def answers_of(provider: Provider, sent: Submission, folder: Path) -> dict[str, Any]:
    """Decoded answers by custom_id; fails when one is there twice."""
    shape, api = shape_of(provider, sent.model), api_of(provider)
    found: dict[str, Any] = {}
    for path in await fetch(provider, sent, folder):
        for item in api.items(path):
            assert item.custom_id not in found
            found[item.custom_id] = item.failure or provider.codec.decode(shape, item.body or b"")
    return found
