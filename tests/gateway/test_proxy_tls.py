"""Upstreams behind TLS, as all vendors are."""

from __future__ import annotations

import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp.connector
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from raw_lab import JSON, OK, RawUpstream, Seen, call, request_bytes

from batchata.gateway import Gateway

KEY = (b"Authorization", b"Bearer sk-of-the-client")
EVENTS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"
)


def write_certificate(file: Path) -> None:
    """A key and a certificate of 127.0.0.1 that only who is told so trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(pem, *plain) + made.public_bytes(pem))


class TLSUpstream(RawUpstream):
    """The upstream of sockets with a certificate."""

    def __init__(self, certificate: Path) -> None:
        super().__init__()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def _serve(self, connection: socket.socket) -> None:
        try:
            super()._serve(self._context.wrap_socket(connection, server_side=True))
        except OSError:
            connection.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "upstream.pem"
    write_certificate(file)
    return file


@pytest.fixture
def upstream(certificate: Path) -> Iterator[TLSUpstream]:
    with TLSUpstream(certificate) as found:
        found.answer(OK)
        yield found


def post(url: str, body: bytes = b'{"model": "m"}', path: bytes = b"/v1/chat/completions") -> bytes:
    reply = call(url, request_bytes(path, JSON, KEY, method=b"POST", body=body))
    assert (reply.status, reply.is_whole) == (200, True)
    return reply.body


def test_questions_streams_and_large_bodies_pass_on_one_connection(
    upstream: TLSUpstream, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = ssl.create_default_context(cafile=certificate)  # as SSL_CERT_FILE has it
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)
    large = b'{"model": "%b"}' % (b"m" * 2_000_000)

    with Gateway(upstream.url) as gateway:
        answers = [
            post(gateway.url),
            post(gateway.url, large),
            post(gateway.url, path=b"/v1/x"),
        ]
        upstream.answer(EVENTS)
        answers.append(post(gateway.url))

    assert answers == [b"{}", b"{}", b"{}", b"data: 1\n\n"]
    assert upstream.seen[1].body == large
    assert upstream.connections == 1


def test_a_certificate_that_nobody_vouches_for_is_given_no_key(upstream: TLSUpstream) -> None:
    with Gateway(upstream.url) as gateway:
        reply = call(gateway.url, request_bytes(b"/v1/chat/completions", JSON, KEY, method=b"POST"))

    assert reply.status == 502
    assert b"SSL_CERT_FILE" in reply.body
    assert upstream.seen == []


def test_an_upstream_is_reached_by_a_tunnel_that_a_proxy_opens(
    upstream: TLSUpstream, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)

    def tunnel(connection: socket.socket, seen: Seen) -> str:
        with socket.create_connection(("127.0.0.1", upstream.port)) as there:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=carry, args=(there, connection), daemon=True)
            back.start()
            carry(connection, there)
            back.join(60)
        return "close"

    with RawUpstream(tunnel) as proxy:
        way = f"http://me:s3cret@127.0.0.1:{proxy.port}"
        config = {"llm": {"base_url": upstream.url, "outbound_proxy": way}}
        with Gateway(config=config) as gateway:
            assert [post(gateway.url), post(gateway.url, path=b"/v1/x")] == [b"{}", b"{}"]

        [seen] = proxy.seen
    assert seen.all(b"proxy-authorization") == [b"Basic " + b64encode(b"me:s3cret")]
    for each in upstream.seen:
        assert each.target.startswith(b"/v1/")
        assert each.all(b"proxy-authorization") == []


def carry(there: socket.socket, here: socket.socket) -> None:
    """Carry bytes in one direction until one side has enough."""
    try:
        while data := there.recv(65_536):
            here.sendall(data)
        here.shutdown(socket.SHUT_WR)
    except OSError:
        return
