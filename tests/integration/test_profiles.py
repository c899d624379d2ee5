"""Vendors that speak OpenAI's protocol, each played by the sandbox as its profile says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel
from run_lab import Lab

from batchata import Batch, Job, ValidationError
from batchata.core.errors import MissingKeyError, NoRouteError
from batchata.gateway import HttpFault, Scenario
from batchata.providers.openai.codec import OpenAICodec
from batchata.providers.profiles import OPENAI, PROFILES, Profile

ROOT = Path(__file__).resolve().parents[2]
HOSTED = sorted(name for name, profile in PROFILES.items() if profile.key_env)
LOCAL = sorted(name for name, profile in PROFILES.items() if profile.is_local)


class Person(BaseModel):
    """What is asked for; `notes` is beyond the subset that strict vendors take."""

    name: str
    age: int


def refused(text: str) -> HttpFault:
    """A server that answers 400 to a chat request with this text in its body."""
    return HttpFault(
        action="status", route="openai.chat", times=None, contains=text, status=400, message=text
    )


def played(profile: Profile) -> Scenario:
    """A server that refuses what the vendor refuses."""
    other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
    refusals = [refused(f'"{other[profile.token_field]}"')]
    if profile.structured != "json_schema":
        refusals.append(refused('"json_schema"'))
    if not profile.is_strict:
        refusals.append(refused('"strict"'))
    if not profile.has_batches:
        for route in ("openai.files.*", "openai.batches.*"):
            refusals.append(HttpFault(action="status", route=route, times=None, status=404))
    loosely = {"Who?": '{"name": "Ann", "age": 3}'} if profile.structured == "json_object" else {}
    return Scenario(
        http=tuple(refusals),
        model_prefixes=("",),
        extra_fields=tuple(profile.schema_extras),
        replies=loosely,
    )


def body_of(profile: Profile, **fields: Any) -> dict[str, Any]:
    """The chat body of a job in the profile's dialect."""
    job = Job("a", "m", prompt="Who?", **fields)
    found: dict[str, Any] = orjson.loads(OpenAICodec(profile).encode(job, "m").body)
    return found


@pytest.mark.parametrize("name", PROFILES)
def test_a_server_that_refuses_other_dialects_answers(lab: Lab, name: str) -> None:
    profile = PROFILES[name]
    lab.play(scenario=played(profile))
    batch = lab.batch(raw_files=False).set_route("live").set_prices(allow_unpriced=True)
    batch.set_provider(name, api_key="k", base_url=lab.box.openai_base_url)
    batch.add_job(id="plain", prompt="Hello.", model=f"{name}:org/model", max_tokens=50)
    batch.add_job(id="schema", prompt="Who?", model=f"{name}:org/model", response_model=Person)

    results = batch.run().results()

    assert results["plain"].error is None
    assert results["schema"].error is None
    assert isinstance(results["schema"].parsed_response, Person)
    assert {call.model for call in lab.ledger.live} == {"org/model"}


@pytest.mark.parametrize("name", PROFILES)
def test_a_body_is_what_the_table_says(name: str) -> None:
    profile = PROFILES[name]

    body = body_of(profile, max_tokens=9, response_model=Person)

    caps = {key: value for key, value in body.items() if key.startswith("max_")}
    assert caps == {profile.token_field: 9}
    kind = body.get("response_format", {}).get("type")
    asked = {"json_schema", "json_object"} & {profile.structured}
    assert {kind} - {None} == asked
    assert ("tools" in body) == (profile.structured == "tool")
    assert ('"strict":true' in orjson.dumps(body).decode()) == profile.is_strict
    says = profile.says_schema or profile.structured in ("json_object", "prompt")
    assert ("JSON Schema" in body["messages"][0]["content"]) == says
    for key, value in profile.schema_extras.items():
        assert body[key] == value


def test_a_users_own_word_wins_over_the_table() -> None:
    deepseek, router = PROFILES["deepseek"], PROFILES["openrouter"]

    tool = body_of(deepseek, response_model=Person, structured="tool")
    own = body_of(router, response_model=Person, params={"provider": {"order": ["x"]}})
    cap = body_of(deepseek, params={"max_completion_tokens": 7})

    assert "response_format" not in tool
    assert own["provider"] == {"order": ["x"]}
    assert (cap.get("max_tokens"), cap["max_completion_tokens"]) == (None, 7)


def test_a_schema_beyond_openais_subset_goes_to_servers_that_take_any() -> None:
    wide = {"type": "object", "properties": {"n": {"type": "object"}}, "required": ["n"]}

    body = body_of(PROFILES["vllm"], response_schema=wide)

    assert body["response_format"]["json_schema"]["schema"]["properties"] == wide["properties"]
    with pytest.raises(ValidationError):
        body_of(PROFILES["mistral"], response_schema=wide)


@pytest.mark.parametrize("name", sorted(n for n, p in PROFILES.items() if p.has_batches))
def test_vendors_with_batches_are_asked_by_the_batch_route(lab: Lab, name: str) -> None:
    lab.play(scenario=Scenario(model_prefixes=("",)))
    batch = lab.batch().set_prices(allow_unpriced=True)
    batch.set_provider(name, api_key="k", base_url=lab.box.openai_base_url)
    batch.add_job(prompt="Hello.", model=f"{name}:m")

    assert batch.run().status()["completed"] == 1
    assert len(lab.ledger.batches) == 1
    raw = lab.out / "raw_files"
    assert sorted(path.name.partition("_")[0] for path in raw.glob("*/*")) == [name, name]


@pytest.mark.parametrize("name", ["vllm", "together", "compatible"])
def test_the_batch_route_without_batches_is_an_error_before_anything_is_sent(
    lab: Lab, name: str
) -> None:
    batch = lab.batch().set_provider(name, api_key="k", base_url=lab.box.openai_base_url)
    batch.set_prices(allow_unpriced=True).add_job(prompt="Hello.", model=f"{name}:m")

    with pytest.raises(NoRouteError, match=f"'{name}' has no batches") as caught:
        batch.run()

    assert 'set_route("live")' in (caught.value.hint or "")
    assert not lab.box.requests


def test_auto_asks_live_whom_no_batch_reaches(lab: Lab) -> None:
    lab.play(scenario=Scenario(model_prefixes=("",)))
    batch = lab.chat(2).finish_within(hours=1)
    batch.set_provider("vllm", base_url=lab.box.openai_base_url)
    batch.add_job(id="own", prompt="Hello.", model="vllm:m")

    run = batch.run()

    assert run.status()["completed"] == 3
    assert [call.model for call in lab.ledger.live] == ["m"]
    assert lab.ledger.billed_items == 2


def test_an_endpoint_that_the_vendor_lacks_fails_the_job_with_those_it_has(lab: Lab) -> None:
    batch = lab.batch().set_route("live").set_prices(allow_unpriced=True)
    batch.set_provider("groq", api_key="k", base_url=lab.box.openai_base_url)
    batch.add_job(id="a", prompt="Hello.", model="groq:m", endpoint="responses")

    error = batch.run().results()["a"].error or ""

    assert "Groq has no endpoint 'responses'" in error
    assert 'use endpoint="chat"' in error


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="'vlm'") as caught:
        Batch().set_provider("vlm", base_url="http://localhost/v1")

    assert {"vllm", "groq", "compatible"} <= set((caught.value.hint or "").replace(",", "").split())


@pytest.mark.parametrize("name", HOSTED)
def test_a_missing_key_names_its_variable_and_openais_key_goes_to_openai_only(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.delenv(str(PROFILES[name].key_env), raising=False)
    batch = lab.batch().set_route("live").set_prices(allow_unpriced=True)
    batch.set_provider(name, base_url=lab.box.openai_base_url)
    batch.add_job(prompt="Hello.", model=f"{name}:m")

    with pytest.raises(MissingKeyError, match=str(PROFILES[name].key_env)):
        batch.run()

    assert not lab.box.requests


def test_keys_and_addresses_come_from_variables_of_the_vendors_name(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.play(scenario=Scenario(model_prefixes=("",)))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("GROQ_API_KEY", "k")
    monkeypatch.setenv("GROQ_BASE_URL", lab.box.openai_base_url)
    batch = lab.batch().set_route("live").set_prices(allow_unpriced=True)
    batch.add_job(prompt="Hello.", model="groq:m")

    assert batch.run().status()["completed"] == 1


@pytest.mark.parametrize("name", LOCAL)
def test_a_server_of_ones_own_needs_no_key_and_no_price(lab: Lab, name: str) -> None:
    lab.play(scenario=Scenario(model_prefixes=("",)))
    batch = lab.batch().set_route("live").add_cost_limit(0.01)
    batch.set_provider(name, base_url=lab.box.openai_base_url)
    batch.add_job(id="a", prompt="Hello.", model=f"{name}:m")

    results = batch.run().results()

    assert results["a"].error is None
    assert results["a"].cost_usd == 0


def test_any_other_server_must_be_given_its_address(lab: Lab) -> None:
    batch = lab.batch().set_route("live").set_prices(allow_unpriced=True)
    batch.add_job(prompt="Hello.", model="compatible:m")

    with pytest.raises(ValidationError, match="no address"):
        batch.run()


def test_openais_own_table_is_the_default() -> None:
    assert body_of(OPENAI) == body_of(replace(OPENAI, name="openai"))
    assert OpenAICodec().encode(Job("a", "m", prompt="x"), "m").shape.provider == "openai"


def test_the_documentation_has_every_profile() -> None:
    page = (ROOT / "docs" / "how-to" / "servers.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]

    assert [row.split("`")[1] for row in rows] == list(PROFILES)
    for row, profile in zip(rows, PROFILES.values(), strict=True):
        assert profile.token_field in row
        assert (profile.key_env or "none") in row
        assert ("yes" in row.split("|")[6]) == profile.has_batches
