"""SDK clients that users configure themselves, sync and async, and keep using afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.lib.credentials import AccessToken
from run_lab import CLAUDE, GPT, MODELS, Lab

from batchata.core.errors import MissingKeyError, ValidationError
from batchata.gateway import HttpFault, Scenario

Make = Callable[[Lab], Any]

MAKERS: dict[str, tuple[str, Make]] = {
    "openai": ("openai", lambda lab: openai.OpenAI(api_key="k", base_url=lab.box.openai_base_url)),
    "async openai": (
        "openai",
        lambda lab: openai.AsyncOpenAI(api_key="k", base_url=lab.box.openai_base_url),
    ),
    "anthropic": (
        "anthropic",
        lambda lab: anthropic.Anthropic(api_key="k", base_url=lab.box.anthropic_base_url),
    ),
    "async anthropic": (
        "anthropic",
        lambda lab: anthropic.AsyncAnthropic(api_key="k", base_url=lab.box.anthropic_base_url),
    ),
}


@pytest.fixture(params=MAKERS, ids=MAKERS)
def own(request: pytest.FixtureRequest, lab: Lab) -> Iterator[tuple[str, Any]]:
    """A provider's name and a client for it."""
    name, make = MAKERS[request.param]
    client = make(lab)
    yield name, client
    closed = client.close()
    if asyncio.iscoroutine(closed):
        asyncio.run(closed)


def test_a_run_goes_through_the_users_client_and_leaves_it_open(
    lab: Lab, own: tuple[str, Any]
) -> None:
    name, client = own

    for count in (5, 9):
        run = lab.chat(count, MODELS[name]).set_provider(name, client=client).run()
        assert run.status()["completed"] == count

    assert not client.is_closed()
    assert lab.ledger.billed_items == 9


def test_the_clients_own_retries_do_not_repeat_a_create_call(
    lab: Lab, own: tuple[str, Any]
) -> None:
    name, client = own
    lost = HttpFault(action="status_after", route="*.batches.create", status=502)
    lab.play(scenario=Scenario(http=(lost,)))

    run = lab.chat(5, MODELS[name]).set_provider(name, client=client).run()

    assert run.status()["completed"] == 5
    assert len(lab.ledger.batches) == 1


def test_a_silent_vendor_is_given_up_after_the_users_own_time(
    lab: Lab, own: tuple[str, Any]
) -> None:
    name, client = own
    lab.play("hang-poll")
    batch = lab.chat(5, MODELS[name]).set_provider(name, client=client, timeout_seconds=0.3)

    run = batch.start()

    assert run.wait(timeout=60)
    assert run.status()["completed"] == 5


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timeout_second": 3}, "timeout_second"),
        ({"timeout_seconds": 0}, "0"),
        ({"client": "sk-key"}, "client is a str"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(
    lab: Lab, name: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        lab.batch().set_provider(name, **options)


def test_a_client_without_a_key_says_which_variable(lab: Lab) -> None:
    client = anthropic.Anthropic(base_url=lab.box.anthropic_base_url)
    batch = lab.chat(2, MODELS["anthropic"]).set_provider("anthropic", client=client)

    with client, pytest.raises(MissingKeyError, match="key"):
        batch.run()


@pytest.mark.parametrize("route", ["live", "batch", "auto"])
@pytest.mark.parametrize("vendor", MODELS)
def test_a_run_makes_one_client_and_closes_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, vendor: str, route: str
) -> None:
    kind: Any = {"openai": openai.AsyncOpenAI, "anthropic": anthropic.AsyncAnthropic}[vendor]
    made: list[Any] = []
    begin = kind.__init__

    def watched(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(kind, "__init__", watched)

    run = lab.chat(3, MODELS[vendor]).set_route(route).run()

    assert run.status()["completed"] == 3
    assert [client.is_closed() for client in made] == [True]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("route", ["batch", "live", "background"])
def test_a_key_that_a_client_asks_for_each_time_is_the_one_of_now(
    lab: Lab, is_async: bool, route: Any
) -> None:
    asked: list[str] = []

    def key() -> str:
        asked.append(f"key{len(asked)}")
        return asked[-1]

    async def later() -> str:
        return key()

    url = lab.box.openai_base_url
    client: Any = openai.OpenAI(api_key=key, base_url=url)
    if is_async:
        client = openai.AsyncOpenAI(api_key=later, base_url=url)
    batch = lab.batch().set_provider("openai", client=client).set_route(route)
    batch.set_default_params(model=GPT, endpoint="responses", max_tokens=50)

    run = batch.add_jobs([f"question {n}" for n in range(3)]).run()

    assert run.status()["completed"] == 3
    assert len(asked) >= 3
    closed = client.close()
    if asyncio.iscoroutine(closed):
        asyncio.run(closed)


class Detour(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """The only way to a host that nobody else can reach, as a proxy of a company is."""

    def __init__(self, address: str) -> None:
        self._to = httpx2.URL(address)
        self._sync, self._async = httpx2.HTTPTransport(), httpx2.AsyncHTTPTransport()
        self.seen: list[httpx2.Request] = []
        self.paths: list[str] = []

    def _turned(self, request: httpx2.Request) -> httpx2.Request:
        assert request.url.host == "vendor.invalid"
        path = request.url.raw_path.replace(b"/openai/v1/", b"/v1/").replace(b"/openai/", b"/v1/")
        path = path.replace(b"/deployments/" + GPT.encode(), b"")
        self.seen.append(request)
        self.paths.append(request.url.path)
        if "api-key" in request.headers:  # Azure's name for it, which the sandbox does not know
            request.headers["authorization"] = "Bearer k"
        request.url = request.url.copy_with(host=self._to.host, port=self._to.port, raw_path=path)
        return request

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._sync.handle_request(self._turned(request))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._async.handle_async_request(self._turned(request))

    def close(self) -> None:
        self._sync.close()

    async def aclose(self) -> None:
        await self._async.aclose()


FAR: dict[str, tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    "openai": ("openai", openai.OpenAI, openai.DefaultHttpxClient),
    "async openai": ("openai", openai.AsyncOpenAI, openai.DefaultAsyncHttpxClient),
    "anthropic": ("anthropic", anthropic.Anthropic, anthropic.DefaultHttpxClient),
    "async anthropic": (
        "anthropic",
        anthropic.AsyncAnthropic,
        anthropic.DefaultAsyncHttpxClient,
    ),
}


@pytest.fixture(params=FAR, ids=FAR)
def far(request: pytest.FixtureRequest, lab: Lab) -> Iterator[tuple[str, Any]]:
    """A provider's name and a client for it whose vendor only its HTTP client can reach."""
    name, make, pool = FAR[request.param]
    url = "http://vendor.invalid" + ("/v1" if name == "openai" else "")
    client = make(api_key="k", base_url=url, http_client=pool(transport=Detour(lab.box.url)))
    yield name, client
    closed = client.close()
    if asyncio.iscoroutine(closed):
        asyncio.run(closed)


@pytest.mark.parametrize("route", ["batch", "live"])
def test_answers_come_the_way_of_the_users_http_client(
    lab: Lab, far: tuple[str, Any], route: Any
) -> None:
    name, client = far
    lab.play(scenario=Scenario(results_base_url="http://vendor.invalid"))
    batch = lab.chat(4, MODELS[name]).set_provider(name, client=client).set_route(route)

    run = batch.add_time_limit(seconds=20).run()

    assert run.status()["completed"] == 4
    assert not client.is_closed()


def test_faults_on_that_way_are_waited_out(lab: Lab, far: tuple[str, Any]) -> None:
    name, client = far
    faults = (
        HttpFault(action="cut_after", route="*.batches.create"),
        HttpFault(action="truncate", route="*.batches.results"),
        HttpFault(action="truncate", route="*.files.content"),
        HttpFault(action="status", route="*.batches.results", status=503),
        HttpFault(action="status", route="*.files.content", status=503),
    )
    lab.play(scenario=Scenario(http=faults, results_base_url="http://vendor.invalid"))
    batch = lab.chat(4, MODELS[name]).set_provider(name, client=client)

    run = batch.add_time_limit(seconds=20).run()

    assert run.status()["completed"] == 4
    assert lab.ledger.billed_items == 4


def azure(kind: str, way: Detour) -> openai.OpenAI:
    """A client of Azure's: its version is in the address of every call."""
    http, url = openai.DefaultHttpxClient(transport=way), "http://vendor.invalid"
    if kind == "versioned":
        query = {"api-version": "preview"}
        return openai.OpenAI(
            api_key="k", base_url=f"{url}/openai/v1/", default_query=query, http_client=http
        )
    login: dict[str, Any] = {"api_key": "k"}
    if kind == "login":
        login = {"azure_ad_token_provider": lambda: "token"}
    if kind == "deployment":
        login["azure_deployment"] = GPT
    return openai.AzureOpenAI(
        azure_endpoint=url, api_version="2025-04-01", http_client=http, **login
    )


@pytest.mark.parametrize(
    ("kind", "route"),
    [
        ("versioned", "batch"),
        ("versioned", "live"),
        ("key", "batch"),
        ("key", "live"),
        ("login", "batch"),
        ("login", "live"),
        ("deployment", "batch"),
        ("deployment", "live"),
    ],
)
def test_every_call_to_azure_has_its_version_and_its_key(lab: Lab, kind: str, route: Any) -> None:
    way = Detour(lab.box.url)
    with azure(kind, way) as client:
        batch = lab.chat(3).set_provider("openai", client=client).set_route(route)

        run = batch.add_time_limit(seconds=20).run()

    assert run.status()["completed"] == 3
    assert all("api-version" in request.url.params for request in way.seen)
    for request in way.seen:
        assert request.headers.get("api-key") == "k" or "Bearer" in request.headers["authorization"]
    is_named = any(f"/deployments/{GPT}/chat/completions" in path for path in way.paths)
    assert is_named == (route == "live" and kind != "versioned")
    assert not any("/deployments/" in path and "/files" in path for path in way.paths)


@pytest.mark.parametrize("make", [anthropic.Anthropic, anthropic.AsyncAnthropic])
@pytest.mark.parametrize("route", ["batch", "live"])
def test_a_login_in_place_of_a_key_holds_for_answers_too(
    lab: Lab, make: Callable[..., Any], route: Any
) -> None:
    def login(*, force_refresh: bool = False) -> AccessToken:
        return AccessToken(token="t", expires_at=None)

    client = make(credentials=login, base_url=lab.box.anthropic_base_url)
    batch = lab.chat(3, CLAUDE).set_provider("anthropic", client=client).set_route(route)

    run = batch.run()

    assert run.status()["completed"] == 3
    closed = client.close()
    if asyncio.iscoroutine(closed):
        asyncio.run(closed)
