"""Bodies of calls to the gateway's batch APIs: broken forms, clients that stop, packed ones."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from batch_lab import HeldModel, chat, client_of, ended, gateway
from raw_lab import JSON, call, connect, read_reply, request_bytes

from batchata.gateway import Gateway

KEY = (b"Authorization", b"Bearer k")
FORM = (
    b'--X\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}'
)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Gateway]:
    with (
        HeldModel().upstream() as upstream,
        gateway(upstream.url, tmp_path) as found,
    ):
        yield found


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"multipart/form-data", FORM),
        (b"multipart/form-data; boundary=X", FORM),
        (b"multipart/form-data; boundary=X", b"no form"),
    ],
)
def test_a_form_that_is_none_is_the_clients_fault(
    door: Gateway, tmp_path: Path, kind: bytes, body: bytes
) -> None:
    headers = ((b"Content-Type", kind), KEY)
    reply = call(door.url, request_bytes(b"/v1/files", *headers, method=b"POST", body=body))

    assert reply.status == 400
    assert "form cannot be read" in orjson.loads(reply.body)["error"]["message"]
    assert not list((tmp_path / "files").iterdir())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/v1/files", b"multipart/form-data; boundary=X"),
        (b"/v1/batches", b"application/json"),
        (b"/v1/messages/batches", b"application/json"),
    ],
)
def test_a_client_that_stops_is_not_waited_for(tmp_path: Path, path: bytes, kind: bytes) -> None:
    body = FORM if path == b"/v1/files" else b"{"
    headers = ((b"Content-Type", kind), KEY)
    whole = request_bytes(path, *headers, method=b"POST", body=body + b" " * 100)
    with (
        gateway("http://127.0.0.1:1", tmp_path, server={"idle_seconds": 0.2}) as door,
        connect(door.url) as connection,
    ):
        connection.sendall(whole[:-100])

        reply = read_reply(connection.makefile("rb"))

    assert reply.status == 408
    assert b"idle_seconds" in reply.body
    assert not list((tmp_path / "files").iterdir())


def test_a_packed_create_call_is_unpacked(door: Gateway) -> None:
    with client_of(door.openai_base_url, "k") as client:
        line = orjson.dumps(chat("a")) + b"\n"
        file = client.files.create(file=("in.jsonl", line), purpose="batch")
        wanted = {"input_file_id": file.id, "endpoint": "/v1/chat/completions"}
        body = gzip.compress(orjson.dumps({**wanted, "completion_window": "24h"}))
        headers = (JSON, KEY, (b"Content-Encoding", b"gzip"))

        reply = call(door.url, request_bytes(b"/v1/batches", *headers, method=b"POST", body=body))

        assert reply.status == 200
        assert ended(client, orjson.loads(reply.body)["id"]).status == "completed"
