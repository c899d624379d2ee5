"""The live endpoints of OpenAI."""

import orjson
from aiohttp import web

from batchata.gateway.asking import ask
from batchata.gateway.json_answers import json_answer
from batchata.gateway.live import answer_live, bill
from batchata.gateway.openai_checks import read_request
from batchata.gateway.records import BackgroundResponse
from batchata.gateway.streams import chat_stream, response_stream
from batchata.gateway.upstream import Answer, Question
from batchata.gateway.vendor_errors import invalid, not_found
from batchata.gateway.wire_openai import ChatRequest, ResponsesRequest
from batchata.gateway.world import RESPONSES_KEPT, World, world_of

Wire = dict[str, object]


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
        return await _begin(world, question)
    answer = await answer_live(request, question)
    if answer.status == 200 and isinstance(asked, ResponsesRequest):
        _remember(world, str(orjson.loads(answer.body)["id"]), answer, world.now())
        if asked.stream:
            return response_stream(answer.body)
    return json_answer(answer.body, status=answer.status)


async def retrieve_response(request: web.Request) -> web.StreamResponse:
    """Show a response that was stored or is still being made."""
    world = world_of(request)
    return json_answer(_shown(world, _find(world, request)))


async def cancel_response(request: web.Request) -> web.StreamResponse:
    """Cancel a background response."""
    world = world_of(request)
    found = _find(world, request)
    if not orjson.loads(found.answer.body)["background"]:
        raise invalid("Only responses created with background=true can be cancelled.")
    found.cancelled = found.cancelled or world.now() < found.ready_at
    return json_answer(_shown(world, found))


async def _begin(world: World, question: Question) -> web.StreamResponse:
    answer = await ask(world, question)
    if answer.status != 200:
        return json_answer(answer.body, status=answer.status)
    bill(world, question, answer)
    done: Wire = orjson.loads(answer.body)
    done["id"] = world.make_id("resp_sandbox_")
    kept = Answer(status=200, body=orjson.dumps(done), usage=answer.usage)
    _remember(world, str(done["id"]), kept, world.now() + world.scenario.background_seconds)
    return json_answer(done | {"status": "queued", "output": [], "usage": None})


def _remember(world: World, response_id: str, answer: Answer, ready_at: float) -> None:
    world.responses[response_id] = BackgroundResponse(answer=answer, ready_at=ready_at)
    while len(world.responses) > RESPONSES_KEPT:
        world.responses.popitem(last=False)


def _find(world: World, request: web.Request) -> BackgroundResponse:
    response_id = request.match_info["id"]
    found = world.responses.get(response_id)
    if found is None:
        raise not_found(f"Response with id '{response_id}' not found.")
    return found


def _shown(world: World, found: BackgroundResponse) -> Wire:
    body: Wire = orjson.loads(found.answer.body)
    if found.cancelled:
        return body | {"status": "cancelled", "output": [], "usage": None}
    if world.now() < found.ready_at:
        return body | {"status": "in_progress", "output": [], "usage": None}
    return body
