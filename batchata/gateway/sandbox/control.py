"""The sandbox's own routes: its ledger, its request log, its scenario."""

from dataclasses import asdict
from typing import Final

import msgspec
from aiohttp import web

from batchata.gateway.sandbox.anthropic import batches as anthropic_batches
from batchata.gateway.sandbox.ledger import BatchEntry, Ledger
from batchata.gateway.sandbox.openai import batches as openai_batches
from batchata.gateway.sandbox.records import BatchRecord
from batchata.gateway.sandbox.scenario import Scenario
from batchata.gateway.sandbox.world import World, world_of
from batchata.gateway.wire.json_answers import json_answer

IDS_SHOWN: Final = 10_000  #: largest batch whose custom_ids the ledger lists


class IdOnly(msgspec.Struct):
    """What the ledger reads of a line that may not be valid."""

    custom_id: str = ""


ID: Final = msgspec.json.Decoder(IdOnly)


async def ledger(request: web.Request) -> web.StreamResponse:
    """Show the bill."""
    return json_answer((await take_ledger(world_of(request))).to_json())


async def requests(request: web.Request) -> web.StreamResponse:
    """Show the requests that reached the sandbox."""
    return json_answer([asdict(logged) for logged in world_of(request).requests])


async def get_scenario(request: web.Request) -> web.StreamResponse:
    """Show the scenario."""
    return json_answer(world_of(request).scenario.to_json())


async def put_scenario(request: web.Request) -> web.StreamResponse:
    """Take a new scenario."""
    try:
        scenario = Scenario.from_json(await request.read())
    except msgspec.DecodeError as problem:
        return json_answer({"error": {"message": str(problem)}}, status=400)
    world_of(request).set_scenario(scenario)
    return json_answer(scenario.to_json())


async def reset(request: web.Request) -> web.StreamResponse:
    """Forget everything but the scenario, whose faults count from the start again."""
    world = world_of(request)
    world.set_scenario(world.scenario)
    world.clear()
    return json_answer({"reset": True})


async def take_ledger(world: World) -> Ledger:
    """Bring all batches up to date, and return the bill."""
    own = [batch for batch in world.batches.values() if not batch.foreign_tag]
    for batch in own:
        if batch.vendor == "openai":
            await openai_batches.advance(world, batch)
        else:
            await anthropic_batches.advance(world, batch)
    return world.ledger.snapshot([_entry(world, batch) for batch in own])


def _entry(world: World, batch: BatchRecord) -> BatchEntry:
    return BatchEntry(
        id=batch.id,
        vendor=batch.vendor,
        n=batch.n,
        created_at=batch.created_at,
        status=world.phase(batch),
        input_file_id=batch.input_file_id,
        metadata=batch.metadata,
        custom_ids=_custom_ids(batch) if batch.n <= IDS_SHOWN else [],
    )


def _custom_ids(batch: BatchRecord) -> list[str]:
    ids: list[str] = []
    with batch.path.open("rb") as lines:
        for line in lines:
            try:
                ids.append(ID.decode(line).custom_id)
            except msgspec.MsgspecError:
                continue
    return ids
