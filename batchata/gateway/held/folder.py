"""The folder of held calls, in which what was sent to a vendor is found again after a kill."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from batchata.core.errors import StateError
from batchata.disk.atomic import atomic_write, sync_files, sync_folder
from batchata.gateway.proxy.exchange import SetAside
from batchata.gateway.wire.vendors import Vendor
from batchata.stores.lock import RunLock

_OWNER_ONLY: Final = 0o700


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Who asked and what is set aside for it, for the process that gets the answer."""

    exchange_id: str
    session_id: str
    agent_id: str
    tags: dict[str, str]
    model: str
    client: str
    set_aside: SetAside | None
    stream: dict[str, Any] = {}  #: fields of the request that batches do not support


class Call(msgspec.Struct, frozen=True):
    """One call of a group; equal calls have equal keys."""

    id: str
    key: bytes
    asked: Asked


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that go to a vendor together; times are seconds since the epoch, UTC."""

    id: str
    vendor: Vendor
    owner: str  #: digest of the client's key; empty where the gateway has the key
    upstream: str  #: name of the upstream in the configuration
    provider: str  #: whose prices apply
    endpoint: str
    headers: dict[str, str]  #: sent with the calls, besides the key
    batch_seconds: float  #: how long batches may take; the rest is then asked live
    calls: list[Call]


class Found(NamedTuple):
    """A group that an earlier process left, and ids of its calls."""

    group: Group
    bodies: Mapping[str, bytes]  #: what is sent to the vendor, by call id
    given: frozenset[str]  #: a client has received their answers
    settled: frozenset[str]  #: their price has been counted


class _Line(msgspec.Struct):
    custom_id: str
    body: msgspec.Raw


_READ_LINE: Final = msgspec.json.Decoder(_Line).decode
_READ: Final = msgspec.json.Decoder(Group).decode


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it goes into a batch."""

    call: Call
    endpoint: str
    body: bytes

    @property
    def line(self) -> bytes:
        """The request as a line of an input file."""
        # in valid JSON a newline can only be space between tokens
        return b'{"custom_id":%b,"method":"POST","url":%b,"body":%b}\n' % (
            orjson.dumps(self.call.id),
            orjson.dumps(self.endpoint),
            self.body.replace(b"\n", b" "),
        )


class HeldFolder:
    """A folder per group; only one gateway may hold them at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = RunLock(folder / "gateway", what=f"the folder of held calls {str(folder)!r}")

    def open(self) -> list[Found]:
        """Lock the folder, and return the groups in it.

        Raises StateLockedError when another gateway has it, StateError when it cannot be used.
        """
        try:
            self._folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
            self._lock.acquire()
            return [self._read(place) for place in self._groups()]
        except (OSError, msgspec.DecodeError, ValueError) as error:
            self._lock.release()
            raise StateError(
                f"the folder of held calls {str(self._folder)!r} cannot be used: {error}",
                hint="name a folder that you may write to and nothing else writes to",
            ) from error

    def close(self) -> None:
        """Release the folder."""
        self._lock.release()

    def state_of(self, group: Group) -> Path:
        """The state file of the run of a group."""
        return self._folder / group.id / "state.db"

    def input_of(self, group: Group) -> Path:
        """The requests of a group, one per line."""
        return self._folder / group.id / "input.jsonl"

    def keep(self, group: Group, requests: Sequence[Request]) -> None:
        """Store a group; StateError, with nothing of it left behind, when the disk refuses."""
        place = self._folder / group.id
        try:
            place.mkdir(mode=_OWNER_ONLY)
            with self.input_of(group).open("wb") as file:
                file.writelines(each.line for each in requests)
            sync_files(place, [self.input_of(group)])
            atomic_write(place / "group.json", msgspec.json.encode(group))  # from now on it exists
            sync_folder(self._folder)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            raise StateError(
                f"held calls cannot be written to {str(place)!r}: {error.strerror or error}",
                hint="free some space: held calls are refused until then",
            ) from error

    def given(self, group: Group, call: Call) -> None:
        """Note that a client has the answer to a call: the next equal call is a new one."""
        self._note(group, "given", [call.id])

    def settled(self, group: Group, call_ids: Sequence[str]) -> None:
        """Note that the price of calls is counted, before doing so, so that it is done once."""
        if call_ids:
            self._note(group, "settled", call_ids)
            sync_files(self._folder / group.id, [self._folder / group.id / "settled"])

    def _note(self, group: Group, name: str, call_ids: Sequence[str]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        fd = os.open(self._folder / group.id / name, flags, 0o600)
        try:
            os.write(fd, "".join(f"{each}\n" for each in call_ids).encode())
        finally:
            os.close(fd)

    def drop(self, group: Group) -> None:
        """Remove a group whose answers have all been given, or are too old."""
        place = self._folder / group.id
        (place / "group.json").unlink(missing_ok=True)  # without it the rest does not count
        shutil.rmtree(place, ignore_errors=True)

    def _groups(self) -> list[Path]:
        places = sorted(each for each in self._folder.iterdir() if each.is_dir())
        for place in places:
            if not (place / "group.json").exists() and place.name.startswith("held_"):
                shutil.rmtree(place)  # left by a process that died before the group existed
        return [each for each in places if (each / "group.json").exists()]

    def _read(self, place: Path) -> Found:
        given, settled = (_noted(place / name) for name in ("given", "settled"))
        group = _READ((place / "group.json").read_bytes())
        with self.input_of(group).open("rb") as file:
            bodies = {found.custom_id: bytes(found.body) for found in map(_READ_LINE, file)}
        if not bodies.keys() >= {each.id for each in group.calls}:
            raise ValueError(f"{str(self.input_of(group))!r} is incomplete")
        return Found(group, bodies, given, settled)


def _noted(path: Path) -> frozenset[str]:
    return frozenset(path.read_text().split() if path.exists() else ())
