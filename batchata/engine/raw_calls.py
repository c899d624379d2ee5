"""Live calls as they went out and came back, in files beside those of batches."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from batchata.core.errors import ResultsError
from batchata.engine.context import RunContext
from batchata.engine.leases import Ask
from batchata.ports import LiveReply

log = logging.getLogger("batchata.engine")

#: a file that has grown so large is followed by the next one
_SEGMENT_BYTES: Final = 64 * 2**20
_MOST_LINES: Final = 500


class RawCalls:
    """Writes `live_1.jsonl`, `live_2.jsonl`, …: requests in one folder, responses in another.

    Lines wait for `write()`, which comes before the commit of what they are about.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._number = 0
        self._size = 0
        self._requests: list[bytes] = []
        self._responses: list[bytes] = []

    @property
    def is_full(self) -> bool:
        """True when lines have waited for long enough."""
        return len(self._responses) >= _MOST_LINES

    def keep(self, ask: Ask, sent_us: int, reply: LiveReply | None, error: str | None) -> None:
        """A call and its end; `error` says why it has no reply."""
        if not self._context.keeps_raw:
            return
        told: dict[str, Any] = {"job_id": ask.job_id, "sent_us": sent_us}
        asked = {**told, "endpoint": ask.shape.endpoint, "body": orjson.Fragment(ask.body)}
        self._requests.append(orjson.dumps(asked, option=orjson.OPT_APPEND_NEWLINE))
        told["received_us"] = self._context.now_us()
        if reply is None:
            told["error"] = error
        elif reply.failure is not None:
            told |= {"status": reply.failure.status, "error": reply.failure.message}
        else:
            told |= {"request_id": reply.request_id, "body": _readable(reply.body or b"")}
        self._responses.append(orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))

    def keep_fetched(self, seq: int, response_id: str, body: bytes) -> None:
        """A response that was begun before, as it was fetched."""
        if not self._context.keeps_raw:
            return
        (job_id,) = self._context.store.ids([seq])
        told = {
            "job_id": job_id,
            "response_id": response_id,
            "received_us": self._context.now_us(),
            "body": _readable(body),
        }
        self._responses.append(orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))

    def write(self) -> None:
        """Write what waits; a disk that refuses stops the run, which keeps what is paid for."""
        if not self._responses:
            return
        folders = (self._context.requests_dir, self._context.responses_dir)
        lines = (self._requests, self._responses)
        self._requests, self._responses = [], []
        try:
            name = self._segment(folders)
            for folder, each in zip(folders, lines, strict=True):
                with (folder / name).open("ab") as file:
                    self._size += file.write(b"".join(each))
        except OSError as error:
            self._size = _SEGMENT_BYTES  # this one may end in the middle of a line
            refused = ResultsError(
                f"raw files cannot be written in {str(folders[0].parent)!r}: "
                f"{error.strerror or error}",
                hint="free some space and run again, or run with raw_files=False",
            )
            log.error("%s", refused.message)
            self._context.stop.ask(refused.message, error=refused)

    def _segment(self, folders: tuple[Path, Path]) -> str:
        if self._number and self._size < _SEGMENT_BYTES:
            return f"live_{self._number}.jsonl"
        self._size = 0
        while True:
            self._number += 1
            name = f"live_{self._number}.jsonl"
            if not any((folder / name).exists() for folder in folders):
                for folder in folders:
                    folder.mkdir(parents=True, exist_ok=True)
                return name


def _readable(body: bytes) -> Any:
    """The body on one line, byte for byte but for its white space; as text where it is no JSON."""
    try:
        return orjson.Fragment(msgspec.json.format(body, indent=-1))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")
