"""Checks the input file of an OpenAI batch, as its `validating` state does."""

import asyncio
from functools import partial

from batchata.gateway.sandbox.input_tokens import embedding_inputs, input_tokens
from batchata.gateway.sandbox.lifecycle import FINAL, phase_at
from batchata.gateway.sandbox.openai.checks import check_model, read_request
from batchata.gateway.sandbox.records import BatchRecord
from batchata.gateway.sandbox.result_lines import YIELD_EVERY
from batchata.gateway.sandbox.world import World
from batchata.gateway.wire.batch_input import FileError, InputCheck
from batchata.gateway.wire.errors import RefusedError
from batchata.gateway.wire.openai import BatchLine, EmbeddingsRequest


async def check_input(world: World, batch: BatchRecord) -> None:
    """Check the whole input file once; problems make the batch fail."""
    if batch.is_checked:
        return
    batch.is_checked = True
    if fault := batch.fault("failed"):
        batch.errors.append(FileError(code=fault.code, message="scripted failure of the sandbox"))
        return
    if batch.n > world.scenario.openai_max_requests:
        limit = world.scenario.openai_max_requests
        message = f"The batch has {batch.n} requests, the limit is {limit}."
        batch.errors.append(FileError(code="too_many_tasks", message=message))
        return
    await _check_lines(world, batch)
    if not batch.errors:
        batch.errors.extend(_enqueued_errors(world, batch))


async def _check_lines(world: World, batch: BatchRecord) -> None:
    scenario = world.scenario
    check = InputCheck(batch.endpoint, partial(check_model, prefixes=scenario.model_prefixes))
    counts_tokens = scenario.enqueued_token_limit is not None
    embeds, inputs = batch.endpoint == "/v1/embeddings", 0
    with batch.path.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            line = check.line(number, raw)
            if counts_tokens and line is not None:
                batch.enqueued_tokens += _tokens(world, batch, line)
            if embeds and line is not None:
                inputs += _inputs(world, batch, line)
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
    batch.errors.extend(check.problems())
    if inputs > scenario.openai_max_embedding_inputs:
        limit = scenario.openai_max_embedding_inputs
        message = f"The batch has {inputs} embedding inputs, the limit is {limit}."
        batch.errors.append(FileError(code="too_many_inputs", message=message))
    batch.model = check.model


def _tokens(world: World, batch: BatchRecord, line: BatchLine) -> int:
    prefixes = world.scenario.model_prefixes
    try:
        return input_tokens(read_request(batch.endpoint, bytes(line.body), prefixes))
    except RefusedError:
        return 0


def _inputs(world: World, batch: BatchRecord, line: BatchLine) -> int:
    try:
        request = read_request(batch.endpoint, bytes(line.body), world.scenario.model_prefixes)
    except RefusedError:
        return 0
    return len(embedding_inputs(request)) if isinstance(request, EmbeddingsRequest) else 0


def _enqueued_errors(world: World, batch: BatchRecord) -> list[FileError]:
    limit = world.scenario.enqueued_token_limit
    if limit is None:
        return []
    others = (
        other.enqueued_tokens
        for other in world.batches.values()
        if other.model == batch.model and other is not batch and _is_waiting(world, other, batch)
    )
    if sum(others) + batch.enqueued_tokens <= limit:
        return []
    message = (
        f"Enqueued token limit reached for {batch.model} in organization org-sandbox. Limit: "
        f"{limit:,} enqueued tokens. Please try again once some in_progress batches have been "
        "completed."
    )
    return [FileError(code="token_limit_exceeded", message=message)]


def _is_waiting(world: World, other: BatchRecord, batch: BatchRecord) -> bool:
    return phase_at(other, world.life(other), batch.created_at) not in FINAL
