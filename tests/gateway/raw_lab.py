"""An upstream made of sockets, which sees what is sent and what is let go; and a raw client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

#: only a fault takes so long, however busy the machine is
SECONDS = 60.0
JSON = (b"Content-Type", b"application/json")
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Seen:
    """One request as its bytes came."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    def all(self, name: bytes) -> list[bytes]:
        return [value for each, value in self.headers if each.lower() == name]


@dataclass
class RawUpstream:
    """Answers each request by a script that is given the connection."""

    script: Callable[[socket.socket, Seen], Any] = lambda connection, seen: connection.sendall(OK)
    seen: list[Seen] = field(default_factory=list)
    #: set when a peer has closed a connection that a script held open
    freed: threading.Event = field(default_factory=threading.Event)
    connections: int = 0
    path: str = ""  #: of a Unix socket to listen on instead

    def __enter__(self) -> Self:
        if self.path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(self.path)
            self._listener.listen()
        else:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive()

    @property
    def url(self) -> str:
        return f"unix://{self.path}" if self.path else f"http://127.0.0.1:{self.port}"

    def answer(self, data: bytes) -> None:
        """Answer every request with these bytes."""
        self.script = lambda connection, seen: connection.sendall(data)

    def hold(self, connection: socket.socket) -> None:
        """Wait until the peer lets go of the connection."""
        connection.settimeout(SECONDS)
        try:
            while connection.recv(4096):
                pass
            self.freed.set()
        except ConnectionError:
            self.freed.set()
        except OSError:
            return

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if not self.path:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(connection)
            self.connections += 1
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        try:
            while (seen := read_request(reader)) is not None:
                self.seen.append(seen)
                if self.script(connection, seen) == "close":
                    break
        except OSError:
            pass
        finally:
            reader.close()
            connection.close()


def read_request(reader: Any) -> Seen | None:
    """One request from a connection; None at its end."""
    line = reader.readline()
    if not line.strip():
        return None
    headers = read_headers(reader)
    found = {name.lower(): value for name, value in headers}
    if found.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = read_chunks(reader)
    else:
        body = reader.read(int(found.get(b"content-length", b"0")))
    return Seen(line.rstrip(b"\r\n"), headers, body)


def read_headers(reader: Any) -> list[tuple[bytes, bytes]]:
    headers = []
    while (line := reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        headers.append((name, value.strip()))
    return headers


def read_chunks(reader: Any) -> bytes:
    body = b""
    while size := int(reader.readline().split(b";")[0], 16):
        body += reader.read(size)
        reader.readline()
    reader.readline()
    return body


@dataclass
class Reply:
    """One response as its bytes came."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    is_whole: bool

    def all(self, name: bytes) -> list[bytes]:
        return [value for each, value in self.headers if each.lower() == name]


def connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request_bytes(
    target: bytes = b"/v1/things",
    *headers: tuple[bytes, bytes],
    method: bytes = b"GET",
    body: bytes = b"",
    host: bytes = b"localhost",
) -> bytes:
    """A request with these headers, and a length where it has a body."""
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: " + host]
    lines += [name + b": " + value for name, value in headers]
    if body and not any(name.lower() == b"transfer-encoding" for name, _ in headers):
        lines.append(b"Content-Length: " + str(len(body)).encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def call(url: str, request: bytes) -> Reply:
    """Send bytes, read one response."""
    with connect(url) as connection:
        connection.sendall(request)
        method = request.split(b" ", 1)[0]
        return read_reply(connection.makefile("rb"), has_body=method != b"HEAD")


def read_reply(reader: Any, *, has_body: bool = True) -> Reply:
    status = int(reader.readline().split(b" ")[1])
    while status == 100:
        read_headers(reader)
        status = int(reader.readline().split(b" ")[1])
    headers = read_headers(reader)
    found = {name.lower(): value for name, value in headers}
    is_whole, body = True, b""
    try:
        if not has_body or status in (204, 304):
            pass
        elif b"chunked" in found.get(b"transfer-encoding", b"").lower():
            body = read_chunks(reader)
        elif b"content-length" in found:
            length = int(found[b"content-length"])
            body = reader.read(length)
            is_whole = len(body) == length
        else:
            body = reader.read()
    except (ValueError, ConnectionError):
        is_whole = False
    return Reply(status, headers, body, is_whole)


def chunked(*pieces: bytes) -> bytes:
    """A body in chunks, with its end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"
