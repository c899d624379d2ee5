"""What every `BackgroundAPI` must do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from batchata.core.errors import OutcomeUnknownError, ProviderRejectedError, ValidationError
from batchata.core.job import Job
from batchata.core.result import Answer
from batchata.ports import BackgroundAPI, Encoded, Provider, ResponseLook
from batchata.testing.vendor_contract import VendorContract

_ENOUGH_LOOKS = 200


class BackgroundAPIContract(VendorContract):
    """For `BackgroundAPI`: a response is begun, named, fetched as often as wanted, and stopped."""

    def test_a_response_is_begun_and_its_answer_can_be_read(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> tuple[ResponseLook, object]:
            asked = encoded(provider, self.model)
            look = await final(provider, await begin(provider, asked))
            return look, provider.codec.decode(asked.shape, look.body)

        look, answer = self.ask(tmp_path, work)

        assert look.word == "completed"
        assert isinstance(answer, Answer)
        assert answer.text

    def test_it_can_be_fetched_again(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> list[ResponseLook]:
            response_id = await begin(provider, encoded(provider, self.model))
            return [await final(provider, response_id) for _ in range(2)]

        first, second = self.ask(tmp_path, work)

        assert first.body == second.body

    def test_two_of_the_same_question_are_two_responses(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> list[str]:
            return [await begin(provider, encoded(provider, self.model)) for _ in range(2)]

        first, second = self.ask(tmp_path, work)

        assert first != second

    def test_one_that_has_ended_takes_a_cancel_without_complaint(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> ResponseLook:
            response_id = await begin(provider, encoded(provider, self.model))
            await final(provider, response_id)
            await api_of(provider).cancel(response_id)
            return await final(provider, response_id)

        assert self.ask(tmp_path, work).word == "completed"

    def test_one_that_is_not_there_is_refused_with_404(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> None:
            await api_of(provider).retrieve("no-such-response")

        with pytest.raises(ProviderRejectedError) as refused:
            self.ask(tmp_path, work)

        assert refused.value.status == 404

    def test_an_answer_without_an_id_is_an_unknown_outcome(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> None:
            for body in (b"", b"<html>", b"{}", b"[1]", b'{"id"'):
                with pytest.raises(OutcomeUnknownError):
                    api_of(provider).id_of(body)

        self.ask(tmp_path, work)

    def test_what_cannot_be_fetched_later_is_refused_before_it_leaves(self, tmp_path: Path) -> None:
        async def work(provider: Provider) -> None:
            unstored = encoded(provider, self.model, store=False)
            with pytest.raises(ValidationError):
                api_of(provider).check(unstored.shape, unstored.body)

        self.ask(tmp_path, work)


def api_of(provider: Provider) -> BackgroundAPI:
    """The API under test."""
    assert provider.background is not None
    return provider.background


def encoded(provider: Provider, model: str, **params: object) -> Encoded:
    """A question to the endpoint that answers in the background."""
    endpoint = api_of(provider).endpoint
    job = Job("a", model, prompt="What is new?", endpoint=endpoint, params=params)
    return provider.codec.encode(job, model)


async def begin(provider: Provider, asked: Encoded) -> str:
    """Begin a response that the API takes; its id."""
    api = api_of(provider)
    api.check(asked.shape, asked.body)
    reply = await api.send(asked.shape, asked.body)
    assert reply.failure is None
    return api.id_of(reply.body or b"")


async def final(provider: Provider, response_id: str) -> ResponseLook:
    """The response when it has ended."""
    for _ in range(_ENOUGH_LOOKS):
        look = await api_of(provider).retrieve(response_id)
        if look.is_final:
            return look
        await asyncio.sleep(0.01)
    raise AssertionError(f"{response_id} does not come to an end")
