"""The control calls that leave: method, path, headers and bodies, through the real SDKs."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from batchata.core.status import SubmissionStatus
from batchata.core.submission import Shape, Submission
from batchata.ports import BatchAPI
from batchata.providers.control import ProviderSettings
from batchata.providers.registry import create_provider

BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file-in",
    "completion_window": "24h",
    "status": "validating",
    "created_at": 1790000000,
}
FILE = {
    "id": "file-in",
    "object": "file",
    "bytes": 3,
    "created_at": 1790000000,
    "filename": "x.jsonl",
    "purpose": "batch",
    "status": "processed",
}
MESSAGE_BATCH = {
    "id": "msgbatch_1",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {"processing": 1, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
    "created_at": "2026-11-21T00:00:00Z",
    "expires_at": "2026-11-22T00:00:00Z",
    "ended_at": None,
    "cancel_initiated_at": None,
    "archived_at": None,
    "results_url": None,
}
ANSWERS = {"/v1/files": FILE, "/v1/batches": BATCH, "/v1/messages/batches": MESSAGE_BATCH}


class Wire:
    """Stands where the network would be, and keeps every request."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as the vendor would."""
        await request.aread()
        self.requests.append(request)
        found = next((body for path, body in ANSWERS.items() if request.url.path.startswith(path)))
        return httpx2.Response(200, json=found)

    def client(self, name: str) -> Any:
        """An SDK client on this wire."""
        http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer))
        if name == "openai":
            import openai

            return openai.AsyncOpenAI(api_key="sk-secret", http_client=http_client)
        import anthropic

        return anthropic.AsyncAnthropic(api_key="sk-secret", http_client=http_client)


def submission(name: str, **fields: Any) -> Submission:
    """A submission of one job."""
    return Submission(
        token="b0123456789abcde",
        provider=name,
        endpoint="/v1/chat/completions" if name == "openai" else "/v1/messages",
        model="m",
        wire_version="2026-10-21" if name == "anthropic" else "",
        seqs=array("I", [0]),
        status=SubmissionStatus.INTENDED,
        intended_us=1_790_000_000_000_000,
        **fields,
    )


def sent(name: str, call: Callable[[BatchAPI], Coroutine[Any, Any, Any]]) -> httpx2.Request:
    """The one request that a call of the provider's batch API makes."""
    wire = Wire()

    async def main() -> None:
        provider = create_provider(name, ProviderSettings(client=wire.client(name)))
        await call(provider.batch)
        await provider.aclose()

    asyncio.run(main())
    (request,) = wire.requests
    return request


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A request file as the engine writes it."""
    file = tmp_path / "sending.json"
    file.write_bytes(b'{"requests":[\n{"custom_id":"a"}\n]}\n')
    return file


def test_an_upload_is_named_after_the_token_and_meant_for_a_batch(path: Path) -> None:
    request = sent("openai", lambda api: api.upload(submission("openai"), path))

    assert (request.method, request.url.path) == ("POST", "/v1/files")
    assert b'filename="batchata_b0123456789abcde.jsonl"' in request.content
    assert b'name="purpose"\r\n\r\nbatch\r\n' in request.content
    assert path.read_bytes() in request.content


def test_an_openai_batch_is_created_with_the_token_in_its_metadata(path: Path) -> None:
    request = sent(
        "openai", lambda api: api.create(submission("openai", input_ref="file-in"), path)
    )

    assert (request.method, request.url.path) == ("POST", "/v1/batches")
    assert orjson.loads(request.content) == {
        "input_file_id": "file-in",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"batchata_submission": "b0123456789abcde"},
    }


def test_an_anthropic_batch_is_the_file_itself_under_a_pinned_version(path: Path) -> None:
    request = sent("anthropic", lambda api: api.create(submission("anthropic"), path))

    assert (request.method, request.url.path) == ("POST", "/v1/messages/batches")
    assert request.content == path.read_bytes()
    assert request.headers["anthropic-version"] == "2026-10-21"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-length"] == str(path.stat().st_size)


CALLS: dict[str, tuple[str, Callable[[BatchAPI], Coroutine[Any, Any, Any]], str]] = {
    "look": ("openai", lambda api: api.look("batch_1"), "GET /v1/batches/batch_1"),
    "cancel": ("openai", lambda api: api.cancel("batch_1"), "POST /v1/batches/batch_1/cancel"),
    "forget": (
        "openai",
        lambda api: api.forget(submission("openai", input_ref="file-in")),
        "DELETE /v1/files/file-in",
    ),
    "look at anthropic": (
        "anthropic",
        lambda api: api.look("msgbatch_1"),
        "GET /v1/messages/batches/msgbatch_1",
    ),
    "cancel at anthropic": (
        "anthropic",
        lambda api: api.cancel("msgbatch_1"),
        "POST /v1/messages/batches/msgbatch_1/cancel",
    ),
}


@pytest.mark.parametrize(("name", "call", "line"), CALLS.values(), ids=CALLS)
def test_a_control_call_goes_to_its_path(
    name: str, call: Callable[[BatchAPI], Coroutine[Any, Any, Any]], line: str
) -> None:
    request = sent(name, call)

    assert f"{request.method} {request.url.path}" == line
    assert request.headers["authorization"] == "Bearer sk-secret"


def test_lines_of_a_file_are_the_vendors_own() -> None:
    def line(name: str, endpoint: str) -> Any:
        api = create_provider(name, ProviderSettings()).batch
        shape = Shape(provider=name, endpoint=endpoint, model="m")
        return orjson.loads(api.line(api.custom_id("btoken", "job-1"), shape, b'{"model":"m"}'))

    assert line("openai", "/v1/responses") == {
        "custom_id": "job-1",
        "method": "POST",
        "url": "/v1/responses",
        "body": {"model": "m"},
    }
    assert line("anthropic", "/v1/messages") == {
        "custom_id": "btoken_job-1",
        "params": {"model": "m"},
    }


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize("job_id", ["a", "x" * 64, "x" * 300, "ä ö/ü", "", "a.b", "\ud800"])
def test_every_job_id_becomes_a_custom_id_that_vendors_take(name: str, job_id: str) -> None:
    api = create_provider(name, ProviderSettings()).batch

    custom_id = api.custom_id("b0123456789abcde", job_id)

    assert 1 <= len(custom_id) <= 64
    assert custom_id.isascii()
    assert custom_id.replace("_", "").replace("-", "").isalnum()
    assert custom_id != api.custom_id("b0123456789abcde", job_id + "y")
