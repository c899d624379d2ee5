"""How a group of held calls is sent: by a run whose batches go live when their time is up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from batchata.core.config import RunConfig
from batchata.core.document import Document
from batchata.core.job import Job
from batchata.gateway.batches.relay import RelayCodec
from batchata.gateway.held.folder import Group
from batchata.gateway.proxy.http.upstreams import Upstream
from batchata.ports import Codec, Encoded
from batchata.providers.control import ProviderSettings
from batchata.providers.raw_requests import FileProvider, read_requests
from batchata.providers.registry import create_provider
from batchata.run import BatchRun

#: factor on the vendors' polling intervals
POLL_FACTOR: float = 1.0
_NO_KEY: Final = "none"
_VERSION: Final = "anthropic-version"
#: key headers that the vendors' SDKs set themselves
_SDK_HEADERS: Final = ("authorization", "x-api-key")


class _HeldCodec(RelayCodec):
    """Requests as they are, in the protocol version that their client speaks."""

    def __init__(self, inner: Codec, provider: str, version: str) -> None:
        super().__init__(inner, provider)
        self._version = version

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The body that the job came with."""
        found = super().encode(job, model, documents)
        return replace(found, shape=replace(found.shape, wire_version=self._version))


class HeldProvider(FileProvider):
    """A vendor whose requests and answers are passed on without being interpreted."""

    def __init__(self, name: str, settings: ProviderSettings, version: str) -> None:
        inner = create_provider(name, settings)
        super().__init__(inner)
        self.codec: Codec = _HeldCodec(inner.codec, inner.name, version)


def make_run(
    group: Group,
    upstream: Upstream,
    keys: Mapping[str, str],
    *,
    input_file: Path,
    state_file: Path,
    prices: Mapping[str, Mapping[str, Any]],
) -> BatchRun:
    """The run of a group; made again with the same state file, it resumes.

    The gateway's own limit sets aside what its calls may cost, at the price of live calls.
    """
    settings = ProviderSettings(client=_client(group, upstream, keys))
    version = group.headers.get(_VERSION, "")
    provider = HeldProvider(group.provider, settings, version)
    config = RunConfig(
        state_file=state_file,
        route="auto",
        finish_within_seconds=group.batch_seconds,
        items_per_batch=None,
        raw_files=False,
        allow_unpriced=True,
        prices=prices,
        poll_factor=POLL_FACTOR,
        go_on="held calls need the gateway on the same folder",
    )
    jobs = read_requests(input_file, group.provider, [group.endpoint])
    return BatchRun(config, jobs, made={provider.name: provider})


def _client(group: Group, upstream: Upstream, keys: Mapping[str, str]) -> Any:
    """The vendor's SDK client with the key of the calls, and nothing of the gateway's account."""
    bearer = keys.get("authorization", "").removeprefix("Bearer ").strip() or None
    key = keys.get("x-api-key") or keys.get("api-key")
    proxy = upstream.outbound_proxy
    headers = {name: value for name, value in group.headers.items() if name != _VERSION}
    if group.vendor == "anthropic":
        import anthropic

        given: dict[str, Any] = (
            {"auth_token": bearer} if bearer and not key else {"api_key": key or _NO_KEY}
        )
        client = anthropic.AsyncAnthropic(
            base_url=upstream.base_url,
            default_headers=headers,
            http_client=anthropic.DefaultAsyncHttpxClient(proxy=proxy) if proxy else None,
            **given,
        )
        # nothing from the environment
        client.api_key, client.auth_token = given.get("api_key"), given.get("auth_token")
        return client
    import openai

    headers |= {name: each for name, each in keys.items() if name not in _SDK_HEADERS}
    asked = openai.AsyncOpenAI(
        base_url=f"{upstream.base_url}/v1",
        api_key=bearer or key or _NO_KEY,
        default_headers=headers,
        http_client=openai.DefaultAsyncHttpxClient(proxy=proxy) if proxy else None,
    )
    asked.organization = asked.project = None  # the client's own are among the headers
    return asked
