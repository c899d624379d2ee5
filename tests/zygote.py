"""A process that imports things once, and forks a child for each call that tests want made."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
import pickle
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

_PR_SET_PDEATHSIG = 1
_SIZE_BYTES = 8
#: reading the machine's certificates would take each child a third of its time
_QUICK = {"SSL_CERT_FILE": str(Path(__file__).with_name("nobody.pem"))}


@dataclass(frozen=True)
class Order:
    """A call of a module's own function, and the surroundings that it is made in."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    folder: str
    environment: dict[str, str]


class Forked:
    """A process that makes one call; what `Popen` shows of others."""

    def __init__(self, pid: int, end: int, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = stdout
        self.stderr = stderr
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        self.stdout.close()
        self.stderr.close()
        os.close(self._end)

    def wait(self, timeout: float | None = None) -> int | None:
        """How it ended, as `Popen.returncode`; None when it has not."""
        if self.returncode is None and select.select([self._end], [], [], timeout)[0]:
            self.returncode = int(os.read(self._end, 16))
        return self.returncode

    def poll(self) -> int | None:
        """How it ended, or None."""
        return self.wait(0)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # the zygote has yet to tell how it ended
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, if it lives."""
        self.send_signal(signal.SIGKILL)

    def wait_until(self, is_time: Callable[[], bool]) -> None:
        """Wait for something that it brings about."""
        while not is_time():
            assert self.poll() is None, f"it ended with {self.returncode}"
            time.sleep(0.005)


class Zygote:
    """A connection to the zygote of a folder: its first user starts it, its last one ends it."""

    def __init__(self, folder: Path) -> None:
        self._channel = _connect(folder)
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        """Need it no longer."""
        self._channel.close()

    def start(self, function: Callable[..., Any], *args: Any) -> Forked:
        """Call a function in a new process, in the folder and environment of this moment."""
        ends, outs, errs = os.pipe(), os.pipe(), os.pipe()
        theirs = [ends[1], outs[1], errs[1]]
        try:
            pid = self._ask(self._order(function, args), theirs)
        finally:
            for each in theirs:
                os.close(each)
        return Forked(pid, ends[0], os.fdopen(outs[0], "rb"), os.fdopen(errs[0], "rb"))

    def prepare(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function in the zygote itself, once: what it imports and caches each child has."""
        self._ask(self._order(function, args), [])

    def _order(self, function: Callable[..., Any], args: Any) -> Order:
        return Order(function, args, str(Path.cwd()), dict(os.environ))

    def _ask(self, order: Order, files: list[int]) -> int:
        with self._one_at_a_time:
            _send(self._channel, (sys.path, pickle.dumps(order)), files)
            pid, said = _receive(self._channel)[0]
        if said:
            raise RuntimeError(f"the zygote could not do it:\n{said}")
        return int(pid)


def _connect(folder: Path) -> socket.socket:
    path = folder / "zygote"
    channel = socket.socket(socket.AF_UNIX)
    with _locked(path):
        try:
            channel.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as door:
                door.bind(str(path))
                door.listen()
                door.set_inheritable(True)
                command = [sys.executable, "-W", "ignore", __file__, str(path), str(door.fileno())]
                os.posix_spawn(sys.executable, command, os.environ)
            channel.connect(str(path))
    return channel


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_suffix(".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _send(channel: socket.socket, message: Any, files: list[int]) -> None:
    data = pickle.dumps(message)
    socket.send_fds(channel, [len(data).to_bytes(_SIZE_BYTES)], files)
    channel.sendall(data)


def _receive(channel: socket.socket) -> tuple[Any, list[int]]:
    """A message and the files that came with it; EOFError when the other side is gone."""
    head, files, _, _ = socket.recv_fds(channel, _SIZE_BYTES, 3)
    if not head:
        raise EOFError
    data = b""
    size = int.from_bytes(head)
    while len(data) < size:
        data += channel.recv(size - len(data))
    return pickle.loads(data), files


def _serve(path: Path, door: socket.socket) -> None:
    """Take orders until nobody is connected."""
    users: list[socket.socket] = [door.accept()[0]]
    ends: dict[int, int] = {}
    prepared: set[Callable[..., Any]] = set()
    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ring)
    while users or not _is_over(path, door):
        ready = select.select([door, bell, *users], [], [])[0]
        if bell in ready:
            os.read(bell, 4096)
            _reap(ends)
        if door in ready:
            users.append(door.accept()[0])
        for user in [each for each in users if each in ready]:
            try:
                _answer(user, ends, prepared)
            except (EOFError, ConnectionError):
                users.remove(user)
                user.close()


def _is_over(path: Path, door: socket.socket) -> bool:
    """True when nobody comes any more: the next one starts another."""
    try:
        with _locked(path):
            if select.select([door], [], [], 0)[0]:
                return False
            path.unlink(missing_ok=True)
    except FileNotFoundError:  # nor does the folder exist
        pass
    return True


def _answer(user: socket.socket, ends: dict[int, int], prepared: set[Callable[..., Any]]) -> None:
    (paths, order), files = _receive(user)
    sys.path += [each for each in paths if each not in sys.path]
    try:
        order = pickle.loads(order)  # imports the function's module, once for all children
        if files:
            pid = _fork(order, files[1:])
            ends[pid] = files[0]
            _send(user, (pid, ""), [])
            return
        if order.function not in prepared:
            prepared.add(order.function)
            _prepare(order)
    except Exception:  # noqa: BLE001 - is told to who asked
        _send(user, (0, traceback.format_exc()), [])
    else:
        _send(user, (0, ""), [])


def _reap(ends: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            end = ends.pop(pid, None)
            if end is not None:
                os.write(end, b"%d" % os.waitstatus_to_exitcode(status))
                os.close(end)


def _prepare(order: Order) -> None:
    """Make a call here, and wait for what it leaves running."""
    order.function(*order.args)
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(5)
    gc.collect()
    gc.freeze()  # a fork then copies fewer pages


def _fork(order: Order, streams: list[int]) -> int:
    pid = os.fork()
    if pid:
        for each in streams:
            os.close(each)
        return pid
    status = 1
    try:
        _carry_out(order, streams)
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # noqa: BLE001 - as any script ends
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _carry_out(order: Order, streams: list[int]) -> None:
    os.setpgid(0, 0)
    _die_with_parent()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started the tests, as nohup, ignores it
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment | _QUICK)
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    order.function(*order.args)


def _die_with_parent() -> None:
    """Leave no child behind when its parent is killed; Linux alone can promise that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(path: str, door: str) -> None:
    """Be the zygote."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(_QUICK)
    _serve(Path(path), socket.socket(fileno=int(door)))


if __name__ == "__main__":
    import zygote  # orders are of this module, by its own name

    zygote.main(*sys.argv[1:])
