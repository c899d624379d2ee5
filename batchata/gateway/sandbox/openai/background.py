"""OpenAI's responses that are made while the client is away, and those it stored."""

from __future__ import annotations

from typing import Final

import orjson
from aiohttp import web

from batchata.gateway.sandbox.asking import ask
from batchata.gateway.sandbox.live import bill
from batchata.gateway.sandbox.records import BackgroundResponse
from batchata.gateway.sandbox.upstream import Answer, Question
from batchata.gateway.sandbox.world import RESPONSES_KEPT, World, world_of
from batchata.gateway.wire.errors import invalid, not_found
from batchata.gateway.wire.json_answers import json_answer

Wire = dict[str, object]

#: seconds for which a response with store=false can still be retrieved
_UNSTORED_SECONDS: Final = 600.0
_EMPTY: Final[Wire] = {"output": [], "usage": None, "error": None, "incomplete_details": None}


async def begin(world: World, question: Question, *, is_stored: bool) -> web.StreamResponse:
    """Accept a question that is answered later."""
    answer = await ask(world, question)
    if answer.status != 200:
        return json_answer(answer.body, status=answer.status)
    done: Wire = orjson.loads(answer.body)
    done["id"] = world.make_id("resp_sandbox_")
    kept = Answer(status=200, body=orjson.dumps(done), usage=answer.usage)
    found = remember(world, str(done["id"]), kept, is_stored=is_stored, is_background=True)
    found.bill = bill(world, question, answer)
    return _paced(world, orjson.dumps(done | _EMPTY | {"status": "queued"}), is_done=False)


def remember(
    world: World, response_id: str, answer: Answer, *, is_stored: bool, is_background: bool = False
) -> BackgroundResponse:
    """Keep a response for retrieval; the oldest make room."""
    scenario, now = world.scenario, world.now()
    starts = scenario.background_queued_seconds if is_background else 0.0
    takes = scenario.background_seconds if is_background else 0.0
    kept = scenario.response_kept_seconds if is_stored else _UNSTORED_SECONDS
    found = world.responses[response_id] = BackgroundResponse(
        answer=answer,
        starts_at=now + starts,
        ready_at=now + max(starts, takes),
        expires_at=now + max(starts, takes) + kept,
        is_background=is_background,
    )
    while len(world.responses) > RESPONSES_KEPT:
        world.responses.popitem(last=False)
    return found


async def retrieve(request: web.Request) -> web.StreamResponse:
    """Show a response that was stored or is still being made."""
    world = world_of(request)
    return _show(world, _find(world, request))


async def cancel(request: web.Request) -> web.StreamResponse:
    """Cancel a background response; one that has ended stays as it is."""
    world = world_of(request)
    found = _find(world, request)
    if not found.is_background:
        raise invalid("Only responses created with background=true can be cancelled.")
    if not found.is_cancelled and world.now() < found.ready_at:
        found.is_cancelled = True
        found.expires_at = world.now() + found.expires_at - found.ready_at
        if found.bill is not None:
            world.ledger.strike(found.bill)
    return _show(world, found)


def _find(world: World, request: web.Request) -> BackgroundResponse:
    response_id = request.match_info["id"]
    found = world.responses.get(response_id)
    if found is None or found.expires_at <= world.now():
        raise not_found(f"Response with id '{response_id}' not found.")
    return found


def _show(world: World, found: BackgroundResponse) -> web.Response:
    if found.is_cancelled:
        return _paced(world, _unfinished(found, "cancelled"), is_done=True)
    now = world.now()
    if now < found.ready_at:
        word = "queued" if now < found.starts_at else "in_progress"
        return _paced(world, _unfinished(found, word), is_done=False)
    return _paced(world, found.answer.body, is_done=True)


def _unfinished(found: BackgroundResponse, word: str) -> bytes:
    body: Wire = orjson.loads(found.answer.body)
    return orjson.dumps(body | _EMPTY | {"status": word})


def _paced(world: World, body: bytes, *, is_done: bool) -> web.Response:
    answer = json_answer(body)
    if not is_done and world.scenario.poll_after_ms is not None:
        answer.headers["openai-poll-after-ms"] = str(world.scenario.poll_after_ms)
    return answer
