"""Sends a question upstream, after checking its files."""

from dataclasses import replace

from batchata.gateway.sandbox.anthropic import media as anthropic_media
from batchata.gateway.sandbox.openai import media as openai_media
from batchata.gateway.sandbox.upstream import Answer, Question
from batchata.gateway.sandbox.world import World
from batchata.gateway.wire.anthropic import MessagesRequest
from batchata.gateway.wire.errors import RefusedError
from batchata.gateway.wire.vendors import vendor_of


async def ask(world: World, question: Question) -> Answer:
    """Answer a question, or refuse it for one of its files as the vendor does."""
    request = question.request
    question = replace(question, seed=world.seed_of(question.body))
    try:
        if isinstance(request, MessagesRequest):
            files = anthropic_media.check_media(world, request)
            question = replace(question, files=files)
        else:
            openai_media.check_media(world, request)
    except RefusedError as refused:
        error = refused.error
        return Answer(status=error.status, body=error.body(vendor_of(question.endpoint)))
    return await world.upstream.answer(question)
