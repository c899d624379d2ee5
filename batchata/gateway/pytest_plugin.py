"""The pytest fixture `batchata_gateway`, to test code that asks a model without the model.

Every pytest run in an environment with batchata imports this module: it imports nothing heavy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from batchata.gateway.proxy.tape.cassette_gateway import CassetteGateway

_FOLDER: Final = "cassettes"
_MOST_NAME: Final = 120
#: names of tests that stay unique as names of files
_TOLD_APART: Final = re.compile(r"[\w.:]+(?:\[[\w.-]*\w\])?")
_KEYS: Final = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
#: cassettes that this session has started over
_RENEWED: Final = pytest.StashKey[set[Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--batchata-record`."""
    parser.getgroup("batchata").addoption(
        "--batchata-record",
        choices=("none", "once", "all"),
        default="none",
        help="What tests with batchata_gateway may ask a vendor: nothing (none), what their "
        "cassettes lack (once), or everything anew (all).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "batchata_cassette(name): answers of batchata_gateway are in cassettes/NAME"
    )
    config.stash[_RENEWED] = set()


@pytest.fixture(scope="session")
def batchata_gateway_config() -> Mapping[str, Any]:
    """Override to return what a configuration file of the gateway would hold."""
    return {}


@pytest.fixture
def batchata_gateway(
    request: pytest.FixtureRequest, batchata_gateway_config: Mapping[str, Any]
) -> Iterator[CassetteGateway]:
    """A gateway that answers from this test's cassette; nothing leaves without --batchata-record.

    OPENAI_BASE_URL and ANTHROPIC_BASE_URL are its address while the test runs.
    """
    from batchata.gateway.proxy.tape.cassette_gateway import CassetteGateway

    mode = request.config.getoption("--batchata-record")
    place = _place(request.node)
    renewed = request.config.stash[_RENEWED]
    if mode == "all" and place in renewed:
        mode = "once"  # another test of this session has just recorded into it
    renewed.add(place)
    gateway = CassetteGateway(place, record=mode, config=batchata_gateway_config)
    with gateway, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", gateway.openai_base_url)
        patch.setenv("ANTHROPIC_BASE_URL", gateway.anthropic_base_url)
        for name in _KEYS:
            # SDKs want a key; if anything may be sent it must be a real one
            if mode == "none" and not os.environ.get(name):
                patch.setenv(name, "replayed")
        yield gateway
    if gateway.missed:
        shown = os.path.relpath(place, request.config.rootpath)
        pytest.fail(_missed_text(gateway.missed, shown, request.node.nodeid), pytrace=False)


def _place(item: pytest.Item) -> Path:
    """The cassette of a test: by its marker, else by its module and its own name."""
    folder = item.path.parent / _FOLDER
    marker = item.get_closest_marker("batchata_cassette")
    if marker is not None:
        if len(marker.args) != 1 or marker.kwargs or not str(marker.args[0]):
            raise pytest.UsageError(
                f"{item.nodeid}: write the cassette's name as "
                "@pytest.mark.batchata_cassette('name')"
            )
        named = folder / str(marker.args[0])
        return named if named.is_dir() or named.suffix == ".jsonl" else _file(named)
    _, _, within = item.nodeid.partition("::")
    name = re.sub(r"[^\w.-]+", "-", within).strip("-.") or "test"
    if len(name) > _MOST_NAME or not _TOLD_APART.fullmatch(within):
        digest = blake2b(within.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
        name = f"{name[:_MOST_NAME]}-{digest}"
    return _file(folder / item.path.stem / name)


def _file(path: Path) -> Path:
    return path.with_name(f"{path.name}.jsonl")


def _missed_text(missed: tuple[str, ...], place: str, test: str) -> str:
    listed = "\n".join(f"  {each}" for each in missed)
    return (
        f"the cassette {place} does not have what was asked:\n{listed}\n"
        f"Record it with: pytest --batchata-record=once '{test}'"
    )
