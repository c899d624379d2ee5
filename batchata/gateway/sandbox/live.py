"""Answers a live call upstream, and bills it."""

from aiohttp import web

from batchata.gateway.sandbox.asking import ask
from batchata.gateway.sandbox.ledger import LiveCall
from batchata.gateway.sandbox.script import digest
from batchata.gateway.sandbox.upstream import Answer, Question
from batchata.gateway.sandbox.world import World, world_of
from batchata.gateway.wire.vendors import vendor_of


async def answer_live(request: web.Request, question: Question) -> Answer:
    """Ask the upstream and write the bill."""
    world = world_of(request)
    answer = await ask(world, question)
    bill(world, question, answer)
    return answer


def bill(world: World, question: Question, answer: Answer) -> LiveCall | None:
    """Bill a call that succeeded; None for one that costs nothing."""
    if answer.status != 200 or answer.usage is None:
        return None
    return world.ledger.bill_live(
        vendor=vendor_of(question.endpoint),
        endpoint=question.endpoint,
        model=question.request.model,
        content=digest(world.seed_of(question.body)).hex(),
        usage=answer.usage,
        at=world.now(),
    )
