"""SDK clients that users configure themselves, sync and async, and keep using afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from run_lab import MODELS, Lab

from batchata.core.errors import MissingKeyError, ValidationError
from batchata.gateway import HttpFault, Scenario

Make = Callable[[Lab], Any]

MAKERS: dict[str, tuple[str, Make]] = {
    "openai": ("openai", lambda lab: openai.OpenAI(api_key="k", base_url=lab.box.openai_base_url)),
    "async openai": (
        "openai",
        lambda lab: openai.AsyncOpenAI(api_key="k", base_url=lab.box.openai_base_url),
    ),
    "anthropic": (
        "anthropic",
        lambda lab: anthropic.Anthropic(api_key="k", base_url=lab.box.anthropic_base_url),
    ),
    "async anthropic": (
        "anthropic",
        lambda lab: anthropic.AsyncAnthropic(api_key="k", base_url=lab.box.anthropic_base_url),
    ),
}


@pytest.fixture(params=MAKERS, ids=MAKERS)
def own(request: pytest.FixtureRequest, lab: Lab) -> Iterator[tuple[str, Any]]:
    """A provider's name and a client for it."""
    name, make = MAKERS[request.param]
    client = make(lab)
    yield name, client
    closed = client.close()
    if asyncio.iscoroutine(closed):
        asyncio.run(closed)


def test_a_run_goes_through_the_users_client_and_leaves_it_open(
    lab: Lab, own: tuple[str, Any]
) -> None:
    name, client = own

    for count in (5, 9):
        run = lab.chat(count, MODELS[name]).set_provider(name, client=client).run()
        assert run.status()["completed"] == count

    assert not client.is_closed()
    assert lab.ledger.billed_items == 9


def test_the_clients_own_retries_do_not_repeat_a_create_call(
    lab: Lab, own: tuple[str, Any]
) -> None:
    name, client = own
    lost = HttpFault(action="status_after", route="*.batches.create", status=502)
    lab.play(scenario=Scenario(http=(lost,)))

    run = lab.chat(5, MODELS[name]).set_provider(name, client=client).run()

    assert run.status()["completed"] == 5
    assert len(lab.ledger.batches) == 1


def test_a_silent_vendor_is_given_up_after_the_users_own_time(
    lab: Lab, own: tuple[str, Any]
) -> None:
    name, client = own
    lab.play("hang-poll")
    batch = lab.chat(5, MODELS[name]).set_provider(name, client=client, timeout_seconds=0.3)

    run = batch.start()

    assert run.wait(timeout=60)
    assert run.status()["completed"] == 5


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timeout_second": 3}, "timeout_second"),
        ({"timeout_seconds": 0}, "0"),
        ({"client": "sk-key"}, "client is a str"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(
    lab: Lab, name: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        lab.batch().set_provider(name, **options)


def test_a_client_without_a_key_says_which_variable(lab: Lab) -> None:
    client = anthropic.Anthropic(base_url=lab.box.anthropic_base_url)
    batch = lab.chat(2, MODELS["anthropic"]).set_provider("anthropic", client=client)

    with client, pytest.raises(MissingKeyError, match="key"):
        batch.run()


@pytest.mark.parametrize("route", ["live", "batch", "auto"])
@pytest.mark.parametrize("vendor", MODELS)
def test_a_run_makes_one_client_and_closes_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, vendor: str, route: str
) -> None:
    kind: Any = {"openai": openai.AsyncOpenAI, "anthropic": anthropic.AsyncAnthropic}[vendor]
    made: list[Any] = []
    begin = kind.__init__

    def watched(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(kind, "__init__", watched)

    run = lab.chat(3, MODELS[vendor]).set_route(route).run()

    assert run.status()["completed"] == 3
    assert [client.is_closed() for client in made] == [True]
