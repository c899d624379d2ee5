from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata.core.errors import UnknownModelError
from batchata.core.models import infer_provider, split_model

KNOWN = ("openai", "anthropic")
MANY = (*KNOWN, "google", "mistral", "xai", "fireworks", "together", "groq", "bedrock", "vertex")


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("openai:gpt-6-luna", ("openai", "gpt-6-luna")),
        ("anthropic/claude-haiku-5-5", ("anthropic", "claude-haiku-5-5")),
        ("openai:openai/gpt-oss-120b", ("openai", "openai/gpt-oss-120b")),
        ("openai/gpt-oss-120b", (None, "openai/gpt-oss-120b")),
        ("ft:gpt-4.1:acme::x", (None, "ft:gpt-4.1:acme::x")),
        ("llama3:8b", (None, "llama3:8b")),
        ("gpt-6-luna", (None, "gpt-6-luna")),
    ],
)
def test_a_name_is_split_only_at_a_known_provider(
    model: str, parts: tuple[str | None, str]
) -> None:
    assert split_model(model, KNOWN) == parts


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-6-luna", "openai"),
        ("chatgpt-5-latest", "openai"),
        ("o3", "openai"),
        ("o4-mini", "openai"),
        ("text-embedding-3-small", "openai"),
        ("ft:gpt-4.1-mini:acme::id", "openai"),
        ("text-embedding-004", "google"),
        ("gemini-3.8-flash", "google"),
        ("claude-haiku-5-5", "anthropic"),
        ("claude-sonnet-4-5-20250929", "anthropic"),
        ("magistral-medium-latest", "mistral"),
        ("grok-4", "xai"),
        ("accounts/fireworks/models/llama-v3p1-8b-instruct", "fireworks"),
    ],
)
def test_a_vendors_own_name_tells_its_provider(model: str, provider: str) -> None:
    assert infer_provider(model, MANY) == (provider, model)


@pytest.mark.parametrize(
    ("model", "write"),
    [
        ("anthropic.claude-haiku-4-5-v1:0", '"bedrock:anthropic.claude-haiku-4-5-v1:0"'),
        ("us.anthropic.claude-haiku-4-5-v1:0", '"bedrock:us.anthropic'),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/x", '"bedrock:arn:aws'),
        ("claude-haiku-4-5@20251001", '"vertex:claude-haiku-4-5@20251001"'),
        ("publishers/google/models/gemini-2.5-pro", '"vertex:publishers'),
    ],
)
def test_a_clouds_name_needs_its_provider_written_out(model: str, write: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        infer_provider(model, MANY)

    assert write in (caught.value.hint or "")


@pytest.mark.parametrize("model", ["meta-llama/Llama-4", "openai/gpt-oss-120b", "gpt-oss-20b"])
def test_open_weights_are_never_guessed_and_the_candidates_are_listed(model: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        infer_provider(model, MANY)

    assert f'"together:{model}" or "groq:{model}"' in (caught.value.hint or "")
    assert f'"openai:{model}"' not in (caught.value.hint or "")


def test_a_vendor_that_is_not_installed_is_named_with_the_ones_that_are() -> None:
    with pytest.raises(UnknownModelError, match="'google'") as caught:
        infer_provider("gemini-3.8-flash", KNOWN)

    assert '"openai:gemini-3.8-flash"' in (caught.value.hint or "")


@pytest.mark.parametrize("model", ["", "  ", "openai:", "openai/", " gpt-6-luna", "my-deployment"])
def test_an_unusable_name_is_an_error_with_a_hint(model: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        infer_provider(model, KNOWN)

    assert caught.value.hint


@given(st.text(min_size=1).filter(lambda text: text == text.strip()))
def test_a_provider_written_before_a_colon_always_wins(name: str) -> None:
    assert infer_provider(f"anthropic:{name}", KNOWN) == ("anthropic", name)


@given(st.text())
def test_any_name_gives_a_known_provider_or_our_error(name: str) -> None:
    try:
        provider, bare = infer_provider(name, KNOWN)
    except UnknownModelError:
        return

    assert provider in KNOWN
    assert name.endswith(bare)
