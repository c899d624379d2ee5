"""The live endpoints of OpenAI."""

import orjson
from aiohttp import web

from batchata.gateway.sandbox.live import answer_live
from batchata.gateway.sandbox.openai.background import begin, remember
from batchata.gateway.sandbox.openai.checks import read_request
from batchata.gateway.sandbox.streams import chat_stream, response_stream
from batchata.gateway.sandbox.upstream import Question
from batchata.gateway.sandbox.world import world_of
from batchata.gateway.wire.json_answers import json_answer
from batchata.gateway.wire.openai import ChatRequest, ResponsesRequest


async def chat(request: web.Request) -> web.StreamResponse:
    """Answer a chat request, in one piece or as a stream."""
    body = await request.read()
    scenario = world_of(request).scenario
    asked = read_request(
        "/v1/chat/completions", body, scenario.model_prefixes, scenario.extra_fields
    )
    question = Question(endpoint="/v1/chat/completions", request=asked, body=body)
    answer = await answer_live(request, question)
    if answer.status == 200 and isinstance(asked, ChatRequest) and asked.stream:
        wants_usage = bool((asked.stream_options or {}).get("include_usage"))
        return chat_stream(answer.body, wants_usage=wants_usage)
    return json_answer(answer.body, status=answer.status)


async def embeddings(request: web.Request) -> web.StreamResponse:
    """Answer an embeddings request."""
    body = await request.read()
    asked = read_request("/v1/embeddings", body, world_of(request).scenario.model_prefixes)
    question = Question(endpoint="/v1/embeddings", request=asked, body=body)
    answer = await answer_live(request, question)
    return json_answer(answer.body, status=answer.status)


async def responses(request: web.Request) -> web.StreamResponse:
    """Answer a responses request: at once, as a stream, or in the background."""
    world = world_of(request)
    body = await request.read()
    asked = read_request("/v1/responses", body, world.scenario.model_prefixes)
    question = Question(endpoint="/v1/responses", request=asked, body=body)
    if isinstance(asked, ResponsesRequest) and asked.background:
        return await begin(world, question, is_stored=asked.store is not False)
    answer = await answer_live(request, question)
    if answer.status == 200 and isinstance(asked, ResponsesRequest):
        if asked.store is not False:
            remember(world, str(orjson.loads(answer.body)["id"]), answer, is_stored=True)
        if asked.stream:
            return response_stream(answer.body)
    return json_answer(answer.body, status=answer.status)
