"""One sandbox for all tests of this folder, and a module's one gateway, emptied before each."""

from collections.abc import Iterator

import anthropic
import pytest
from openai import OpenAI
from raw_lab import OK, RawUpstream
from sandbox_lab import START, Lab, MovableClock

from batchata.gateway import Gateway, Sandbox, Scenario


@pytest.fixture(scope="session")
def shared() -> Iterator[Lab]:
    clock = MovableClock()
    with (
        Sandbox(clock=clock) as box,
        OpenAI(base_url=box.openai_base_url, api_key="k", max_retries=0) as openai,
        anthropic.Anthropic(base_url=box.anthropic_base_url, api_key="k", max_retries=0) as claude,
    ):
        yield Lab(box=box, clock=clock, openai=openai, anthropic=claude)


@pytest.fixture
def lab(shared: Lab) -> Lab:
    """The shared sandbox, emptied and in perfect health."""
    shared.clock.now = START
    shared.box.set_scenario(Scenario())
    shared.box.reset()
    return shared


@pytest.fixture
def upstream(parts: tuple[RawUpstream, Gateway]) -> RawUpstream:
    """The sockets behind a module's gateway: nothing was seen yet, and all is answered."""
    parts[0].seen.clear()
    parts[0].freed.clear()
    parts[0].answer(OK)
    return parts[0]


@pytest.fixture
def url(parts: tuple[RawUpstream, Gateway]) -> str:
    """The address of a module's gateway."""
    return parts[1].url
