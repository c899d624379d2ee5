"""Vendors that speak OpenAI's protocol, and in what each differs: data only.

Every request of the table is checked in the tests against a loopback server that plays the vendor.
What the vendors' own servers do comes from their documentation; none of them was called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Endpoint = Literal["chat", "responses", "embeddings"]
_CHAT: Final[tuple[Endpoint, ...]] = ("chat",)
_VECTORS: Final[tuple[Endpoint, ...]] = ("chat", "embeddings")
_ALL: Final[tuple[Endpoint, ...]] = ("chat", "responses", "embeddings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One vendor's dialect of OpenAI's protocol."""

    name: str  #: as in "name:model"
    title: str
    base_url: str | None = None  #: None: the user says it, or the SDK knows it
    key_env: str | None = None  #: variable that holds the key; None: no key is needed
    #: the name of the cap on output tokens in a chat completion
    token_field: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    #: how a schema is asked for: `response_format` json_schema, the same json_object with the
    #: schema in words, a tool that must be called, or words alone
    structured: Literal["json_schema", "json_object", "tool", "prompt"] = "json_schema"
    is_strict: bool = False  #: takes `strict`, and then only OpenAI's subset of JSON Schema
    says_schema: bool = False  #: wants the schema in words beside `response_format`
    endpoints: tuple[Endpoint, ...] = _CHAT
    takes_files: bool = False  #: PDF and other files in a chat message, not only images
    has_files: bool = False  #: files that requests name by id
    has_batches: bool = False  #: /v1/files and /v1/batches as OpenAI has them
    has_background: bool = False  #: /v1/responses with background=true
    batch_bytes: int = 100_000_000  #: largest input file of a batch
    is_local: bool = False  #: runs on the user's own machines: tokens cost nothing
    #: sent with each chat completion that asks for a schema
    schema_extras: Mapping[str, Any] = field(default_factory=dict)


OPENAI: Final = Profile(
    name="openai",
    title="OpenAI",
    key_env="OPENAI_API_KEY",
    token_field="max_completion_tokens",
    is_strict=True,
    endpoints=_ALL,
    takes_files=True,
    has_files=True,
    has_batches=True,
    has_background=True,
    batch_bytes=200_000_000,
)

#: servers that users run themselves
_LOCAL: Final = (
    Profile(
        name="vllm",
        title="vLLM",
        base_url="http://localhost:8000/v1",
        endpoints=_ALL,
        is_local=True,
    ),
    Profile(
        name="sglang",
        title="SGLang",
        base_url="http://localhost:30000/v1",
        endpoints=_VECTORS,
        is_local=True,
    ),
    Profile(
        name="ollama",
        title="Ollama",
        base_url="http://localhost:11434/v1",
        endpoints=_ALL,
        is_local=True,
    ),
    Profile(
        name="llamacpp",
        title="llama.cpp",
        base_url="http://localhost:8080/v1",
        endpoints=_VECTORS,
        is_local=True,
    ),
    Profile(
        name="lmstudio",
        title="LM Studio",
        base_url="http://localhost:1234/v1",
        endpoints=_ALL,
        is_local=True,
    ),
)

_HOSTED: Final = (
    Profile(
        name="cerebras",
        title="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_env="CEREBRAS_API_KEY",
        token_field="max_completion_tokens",
        is_strict=True,
    ),
    Profile(
        name="deepinfra",
        title="DeepInfra",
        base_url="https://api.deepinfra.com/v1/openai",
        key_env="DEEPINFRA_API_KEY",
        structured="json_object",
        endpoints=_VECTORS,
        has_batches=True,
    ),
    Profile(
        name="deepseek",
        title="DeepSeek",
        base_url="https://api.deepseek.com",
        key_env="DEEPSEEK_API_KEY",
        structured="json_object",
    ),
    Profile(
        name="doubleword",
        title="Doubleword",
        base_url="https://api.doubleword.ai/v1",
        key_env="DOUBLEWORD_API_KEY",
        endpoints=_ALL,
        has_batches=True,
    ),
    Profile(
        name="fireworks",
        title="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_env="FIREWORKS_API_KEY",
        says_schema=True,
        endpoints=_VECTORS,
    ),
    Profile(
        name="gemini",
        title="Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_env="GEMINI_API_KEY",
        endpoints=_VECTORS,
    ),
    Profile(
        name="groq",
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_env="GROQ_API_KEY",
        token_field="max_completion_tokens",
        has_batches=True,
    ),
    Profile(
        name="mistral",
        title="Mistral",
        base_url="https://api.mistral.ai/v1",
        key_env="MISTRAL_API_KEY",
        is_strict=True,
        endpoints=_VECTORS,
    ),
    Profile(
        name="openrouter",
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_env="OPENROUTER_API_KEY",
        is_strict=True,
        takes_files=True,
        # else a schema may be sent to a host that ignores it
        schema_extras={"provider": {"require_parameters": True}},
    ),
    Profile(
        name="together",
        title="Together",
        base_url="https://api.together.xyz/v1",
        key_env="TOGETHER_API_KEY",
        says_schema=True,
        endpoints=_VECTORS,
    ),
    Profile(
        name="xai",
        title="xAI",
        base_url="https://api.x.ai/v1",
        key_env="XAI_API_KEY",
        token_field="max_completion_tokens",
        is_strict=True,
        endpoints=("chat", "responses"),
    ),
)

#: any other server: what nearly all of them take, and the address is the user's to say
COMPATIBLE: Final = Profile(
    name="compatible", title="the server", structured="tool", endpoints=_ALL
)

PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile for profile in (*_LOCAL, *_HOSTED, COMPATIBLE)
}
