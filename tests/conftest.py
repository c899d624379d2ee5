"""No test leaves this machine, or reads a real key; `lab` runs batches against the sandbox."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
import typer.testing
from hypothesis import settings
from thoroughness import how_often

from batchata.engine import shutdown

if TYPE_CHECKING:
    from run_lab import Lab
    from zygote import Zygote

    from batchata.gateway import Sandbox

_HERE = ("127.", "::1", "localhost", "0.0.0.0")
_MEMORY = Path("/dev/shm")
#: with so much room temporary folders lie in memory: every commit of every test is synced
_ROOM_BYTES = 2 << 30
#: nobody has its key: reading the machine's own 140 takes each client that is made 20 ms
_ONE_CERTIFICATE = Path(__file__).with_name("nobody.pem")
_HIDDEN = ("OPENAI", "ANTHROPIC", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def pytest_configure() -> None:
    """No property is held against the clock; temporary folders lie in memory where there is room.

    One certificate is trusted, here and in all that is started from here.
    TMPDIR names another place for them. With THOROUGH set, properties see more examples.
    """
    gc.disable()  # nothing is garbage before the first test runs
    os.environ["SSL_CERT_FILE"] = str(_ONE_CERTIFICATE)
    examples = how_often(100)
    settings.register_profile("unhurried", settings(), deadline=None, max_examples=examples)
    settings.load_profile("unhurried")
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Workers of xdist keep to neighbouring tests, which share what is set up for them."""
    if config.getoption("numprocesses", None) and config.getoption("dist") == "no":
        config.option.dist = "worksteal"


def pytest_collection_finish() -> None:
    """What has been imported stays: no search for garbage has to look at it, not even once."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def pytest_sessionfinish() -> None:
    """Complaints of what is garbage now are heard; pytest searches all there is five times more."""
    gc.collect()
    gc.freeze()


def pytest_sessionstart() -> None:
    """A worker of xdist leaves without taking apart a million objects one by one.

    A shell that runs something in the background has it ignore Ctrl-C, which tests are about.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        atexit.register(os._exit, 0)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more worker than there are cores: children and servers are waited for."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Connections to other machines are refused at once."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(_HERE):
            raise OSError(f"a test tried to reach {address[0]}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_command_line() -> Iterator[None]:
    """Typer reads the signatures of all commands anew for each call of a test: once is enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_keys() -> Iterator[None]:
    """Keys and proxies of the machine are not seen."""
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            if name.upper().startswith(_HIDDEN):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Starts processes that need not import anything; one for all workers of xdist."""
    from zygote import Zygote

    folder = tmp_path_factory.getbasetemp()
    made = Zygote(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared_box() -> Iterator[Sandbox]:
    """One sandbox for all tests of this process."""
    from batchata.gateway import Sandbox

    with Sandbox() as box:
        yield box


@pytest.fixture
def lab(shared_box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """An emptied sandbox in perfect health, a folder, and books of every commit."""
    from run_lab import Lab

    from batchata.gateway import Scenario

    shared_box.set_scenario(Scenario())
    shared_box.reset()
    monkeypatch.setattr(shutdown, "GRACE_SECONDS", 60.0)
    made = Lab(shared_box, tmp_path)
    made.watch(monkeypatch)
    return made
