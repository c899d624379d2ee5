"""The model lists of both vendors."""

from typing import Final

from aiohttp import web

from batchata.gateway.sandbox.world import world_of
from batchata.gateway.wire.errors import RefusedError, VendorError, not_found
from batchata.gateway.wire.json_answers import json_answer

OPENAI_MODELS: Final = (
    "gpt-6-luna",
    "gpt-6-sol",
    "gpt-6.1-sol",
    "gpt-6.1-terra",
    "gpt-5.6-luna",
    "gpt-4.1-mini",
    "text-embedding-3-small",
    "text-embedding-3-large",
)
ANTHROPIC_MODELS: Final = (
    "claude-haiku-5-5",
    "claude-sonnet-5-5",
    "claude-opus-5-5",
    "claude-haiku-4-5",
    "claude-sonnet-4-6",
)
CREATED: Final = 1_790_000_000
Wire = dict[str, object]


async def list_models(request: web.Request) -> web.StreamResponse:
    """List the models of the vendor that the headers are meant for."""
    if "anthropic-version" in request.headers:
        return json_answer(
            {
                "data": [_anthropic(name) for name in ANTHROPIC_MODELS],
                "has_more": False,
                "first_id": ANTHROPIC_MODELS[0],
                "last_id": ANTHROPIC_MODELS[-1],
            }
        )
    return json_answer({"object": "list", "data": [_openai(name) for name in OPENAI_MODELS]})


async def retrieve_model(request: web.Request) -> web.StreamResponse:
    """Show one model."""
    name = request.match_info["id"]
    is_known = name.startswith(world_of(request).scenario.model_prefixes)
    if "anthropic-version" in request.headers:
        if not is_known:
            raise not_found(f"model: {name}")
        return json_answer(_anthropic(name))
    if not is_known:
        message = f"The model '{name}' does not exist"
        raise RefusedError(VendorError(status=404, message=message, code="model_not_found"))
    return json_answer(_openai(name))


def _openai(name: str) -> Wire:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "sandbox"}


def _anthropic(name: str) -> Wire:
    return {
        "id": name,
        "type": "model",
        "display_name": f"{name} (sandbox, no model)",
        "created_at": "2026-09-21T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }
