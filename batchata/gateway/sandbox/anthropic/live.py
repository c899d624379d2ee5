"""The live endpoints of Anthropic."""

from typing import Final

from aiohttp import web

from batchata.gateway.sandbox.anthropic.checks import check_model, read_request
from batchata.gateway.sandbox.input_tokens import input_tokens
from batchata.gateway.sandbox.live import answer_live
from batchata.gateway.sandbox.streams import message_stream
from batchata.gateway.sandbox.upstream import Question
from batchata.gateway.sandbox.world import world_of
from batchata.gateway.wire.anthropic import COUNT_TOKENS
from batchata.gateway.wire.errors import RefusedError, VendorError
from batchata.gateway.wire.json_answers import json_answer
from batchata.gateway.wire.reading import read_anthropic

MAX_BYTES: Final = 32_000_000


async def messages(request: web.Request) -> web.StreamResponse:
    """Answer a messages request, in one piece or as a stream."""
    body = await request.read()
    if len(body) > MAX_BYTES:
        message = f"Request exceeds the maximum size of {MAX_BYTES} bytes"
        raise RefusedError(VendorError(status=413, message=message))
    version = request.headers.get("anthropic-version", "")
    prefixes = world_of(request).scenario.model_prefixes
    asked = read_request(body, version=version, prefixes=prefixes)
    question = Question(endpoint="/v1/messages", request=asked, body=body, version=version)
    answer = await answer_live(request, question)
    if answer.status == 200 and asked.stream:
        return message_stream(answer.body)
    return json_answer(answer.body, status=answer.status)


async def count_tokens(request: web.Request) -> web.StreamResponse:
    """Count the input tokens of a request."""
    asked = read_anthropic(COUNT_TOKENS, await request.read())
    check_model(asked.model, world_of(request).scenario.model_prefixes)
    return json_answer({"input_tokens": input_tokens(asked)})
