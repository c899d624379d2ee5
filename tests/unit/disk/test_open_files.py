from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from batchata.core.pacing import PaceCaps
from batchata.disk.open_files import room_for_connections
from batchata.engine.paces import Paces


@pytest.fixture
def limit() -> Iterator[tuple[int, int]]:
    """The limits of this process, put back at the end."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_low_limit_is_raised_as_far_as_the_connections_need(limit: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limit[1]))

    room = room_for_connections(500)

    assert room == 500
    assert 564 < resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1_000


def test_what_the_system_does_not_allow_bounds_the_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))

    assert 50 < room_for_connections(500) < 192
    assert room_for_connections(20) == 20


def test_live_calls_of_all_models_keep_to_what_may_be_open(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    paces = Paces()

    found = [paces.of("openai", f"m{n}", PaceCaps(concurrency=100), 0.0) for n in range(3)]

    assert found[0].window == 100
    assert sum(pace.window for pace in found) < 200
    assert all(pace.window >= 1 for pace in found)
    assert "ulimit -n" in caplog.text
