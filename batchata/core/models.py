"""Which provider a model name belongs to."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from batchata.core.errors import UnknownModelError

#: names that one vendor's own API uses, first match wins
_PREFIXES: Final[tuple[tuple[str, str], ...]] = (
    ("google", r"gemini-|models/gemini|gemma-|text-embedding-004|text-multilingual-embedding-"),
    (
        "openai",
        r"gpt-|chatgpt-|o[134](-|$)|text-embedding-(3|ada)-|(omni|text)-moderation|codex-"
        r"|davinci-|babbage-|computer-use-preview|dall-e|sora-|whisper-|tts-|ft:",
    ),
    ("anthropic", r"claude-[^@]*$"),
    (
        "mistral",
        r"(mistral|ministral|magistral|codestral|pixtral|devstral|voxtral)-|open-mi[sx]tral",
    ),
    ("xai", r"grok-"),
    ("fireworks", r"accounts/[^/]+/models/"),
)
_VENDOR_MODEL: Final = tuple((name, re.compile(pattern)) for name, pattern in _PREFIXES)
#: names of clouds that resell others' models: the name alone does not say which account pays
_CLOUD_MODEL: Final = (
    (
        "bedrock",
        "Amazon Bedrock",
        re.compile(
            r"arn:aws[\w-]*:bedrock|((us|us-gov|eu|apac|au|jp|in|ca|global)\.)?"
            r"(anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen|stability)\."
        ),
    ),
    ("vertex", "Vertex AI", re.compile(r"claude-[^@]+@|publishers/|projects/[^/]+/locations/")),
)
_OPEN_WEIGHTS: Final = re.compile(r"(openai/)?gpt-oss")
#: providers that serve models of many makers, as "org/name" or by their open-weights name
_HOSTS: Final = (
    "together",
    "groq",
    "fireworks",
    "deepinfra",
    "openrouter",
    "doubleword",
    "novita",
    "cerebras",
    "vllm",
    "sglang",
    "ollama",
    "llamacpp",
    "lmstudio",
    "azure",
)
#: a vendor by the provider that speaks for it where its own is not installed
_STAND_INS: Final = {"google": "gemini"}
#: more names than these are listed, not each written out
_WRITTEN_OUT: Final = 4


def split_model(model: str, known: Collection[str]) -> tuple[str | None, str]:
    """Split "provider:model" or "provider/model" where the first part is one of `known`.

    An open-weights name such as "openai/gpt-oss-120b" is no such pair: the organisation made the
    model, anybody may serve it.
    """
    name, colon, rest = model.partition(":")
    if colon and name in known:
        return name, rest
    name, slash, rest = model.partition("/")
    if slash and name in known and not _OPEN_WEIGHTS.match(model):
        return name, rest
    return None, model


def infer_provider(model: str, known: Collection[str]) -> tuple[str, str]:
    """Provider and bare name of `model`; UnknownModelError, saying what to write, if not clear."""
    if not isinstance(model, str) or not model.strip():
        raise UnknownModelError(
            f"model is {model!r}, not a name", hint='write model="openai:gpt-6-luna"'
        )
    if model != model.strip():
        raise UnknownModelError(
            f"model {model!r} has spaces around it", hint=f"write {model.strip()!r}"
        )
    provider, bare = split_model(model, known)
    if provider is not None:
        if not bare:
            raise UnknownModelError(
                f"{model!r} names a provider and no model",
                hint=f'write "{provider}:MODEL" with the name that {provider} gives its model',
            )
        return provider, bare
    _refuse_cloud(model)
    vendor = _vendor(model)
    if vendor is None:
        raise _unclear(model, known)
    if vendor not in known and _STAND_INS.get(vendor) in known:
        return _STAND_INS[vendor], model
    if vendor not in known:
        raise UnknownModelError(
            f"{model!r} is a model of {vendor!r}, and no such provider is installed",
            hint=f"name the provider that serves it: {_choices(model, sorted(known))}",
        )
    return vendor, model


def _vendor(model: str) -> str | None:
    if _OPEN_WEIGHTS.match(model):
        return None
    for name, pattern in _VENDOR_MODEL:
        if pattern.match(model):
            return name
    return None


def _refuse_cloud(model: str) -> None:
    for provider, title, pattern in _CLOUD_MODEL:
        if pattern.match(model):
            raise UnknownModelError(
                f"{model!r} looks like a name of {title}, which needs its provider written out",
                hint=f'write "{provider}:{model}"',
            )


def _unclear(model: str, known: Collection[str]) -> UnknownModelError:
    hosts = [name for name in _HOSTS if name in known]
    if _OPEN_WEIGHTS.match(model):
        found = f"{model!r} has open weights: many providers serve it, OpenAI's own API does not"
    elif "/" in model:
        found = f"{model!r} names the maker of a model, not the provider that serves it"
    else:
        found, hosts = f"{model!r} has no provider, and no known name begins like it", []
    return UnknownModelError(
        found,
        hint=f"write {_choices(model, hosts or sorted(known))} "
        "(names of Azure, Bedrock and Vertex always need their provider)",
    )


def _choices(model: str, providers: Collection[str]) -> str:
    if len(providers) > _WRITTEN_OUT:
        return f'"PROVIDER:{model}" with one of {", ".join(providers)}'
    return " or ".join(f'"{name}:{model}"' for name in providers) or f'"PROVIDER:{model}"'
