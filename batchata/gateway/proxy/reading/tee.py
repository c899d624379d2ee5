"""What an answer says, read beside the relay; memory stays bounded however long it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from batchata.gateway.proxy.exchange import Answered, Exchange
from batchata.gateway.proxy.reading.answer_facts import tell, tell_facts
from batchata.gateway.proxy.reading.sse import EventParser, decoder_for, undone, whole
from batchata.gateway.proxy.reading.streamed import StreamReader, reader_for

EVENT_STREAM: Final = "text/event-stream"
#: of answers that have no reader, for their errors
_ERROR_BYTES: Final = 64 * 1024
#: the most that one piece of a stream may decode to
_PIECE_BYTES: Final = 64 * 1024 * 1024


class Tee:
    """Takes the pieces of one answer, and knows at the end what it said.

    `headers` are the answer's by name, in lower case or without regard to it.
    """

    def __init__(
        self,
        exchange: Exchange,
        answered: Answered,
        headers: Mapping[str, str],
        *,
        most: int,
        wants_pieces: bool,
    ) -> None:
        self._exchange = exchange
        self._answered = answered
        self._encoding = headers.get("content-encoding", "")
        self._reader: StreamReader | None = None  # and a parser with it
        self._decode: Callable[[bytes], bytes] | None = None
        answered.is_stream = headers.get("content-type", "").lower().startswith(EVENT_STREAM)
        if answered.is_stream:
            self._reader = reader_for(exchange.endpoint)
            self._parser = EventParser()
            self._decode = decoder_for(self._encoding)
        keeps_all = wants_pieces or (exchange.endpoint is not None and not answered.is_stream)
        self._most = most if keeps_all else _ERROR_BYTES
        self._wants_pieces = wants_pieces
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes, seconds: float) -> None:
        """Take a piece, with the seconds since the request."""
        answered = self._answered
        if answered.first_byte_seconds is None:
            answered.first_byte_seconds = seconds
        self._size += len(piece)
        if self._size > self._most:
            self._parts.clear()
            answered.pieces.clear()
        elif self._wants_pieces or not answered.is_stream:
            self._parts.append(piece)
            if self._wants_pieces:
                answered.pieces.append((seconds, piece))
        if self._reader is not None:
            self._read(piece, self._reader)

    def _read(self, piece: bytes, reader: StreamReader) -> None:
        if self._decode is None:
            return
        try:
            text = undone(self._decode, piece, _PIECE_BYTES) if self._encoding else piece
        except ValueError:
            self._decode = None
            return
        for data in self._parser.feed(text):
            reader.take(data)

    def finish(self) -> None:
        """Write what was said into the answer."""
        answered = self._answered
        is_kept = self._size <= self._most
        body = b"".join(self._parts) if is_kept else None
        if not answered.is_stream or self._wants_pieces:
            answered.body = body
        if self._reader is not None and answered.status < 400:
            for data in self._parser.finish():
                self._reader.take(data)
            tell_facts(answered, self._reader.facts())
        elif body is not None and (body or answered.status >= 400):
            text = whole(body, self._encoding, self._most) if self._encoding else body
            if text is not None and (answered.ending == "answered" or answered.status >= 400):
                tell(answered, self._exchange.endpoint, answered.status, text)
