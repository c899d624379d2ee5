"""Looks into the input file of an OpenAI batch, as its `validating` state does."""

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from batchata.gateway.sandbox.input_tokens import input_tokens
from batchata.gateway.sandbox.lifecycle import FINAL, phase_at
from batchata.gateway.sandbox.openai.checks import check_model, read_request
from batchata.gateway.sandbox.records import BatchRecord, FileError
from batchata.gateway.sandbox.world import World
from batchata.gateway.vendor_errors import RefusedError
from batchata.gateway.wire_openai import BATCH_LINE, BatchLine

ERRORS_SHOWN: Final = 100
YIELD_EVERY: Final = 500


class BodyHead(Struct):
    """What validation reads of a body."""

    model: str
    stream: bool | None = None


HEAD: Final = msgspec.json.Decoder(BodyHead)


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
    scenario = world.scenario
    check = InputCheck(
        batch.endpoint,
        prefixes=scenario.model_prefixes,
        counts_tokens=scenario.enqueued_token_limit is not None,
    )
    with batch.path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            check.line(number, line)
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
    batch.errors.extend(check.problems())
    batch.model = check.model
    batch.enqueued_tokens = check.tokens
    if not batch.errors:
        batch.errors.extend(_enqueued_errors(world, batch))


class InputCheck:
    """Goes over the lines of one input file; without `prefixes` any model is taken."""

    def __init__(
        self,
        endpoint: str,
        *,
        prefixes: tuple[str, ...] | None = None,
        counts_tokens: bool = False,
    ) -> None:
        self._endpoint = endpoint
        self._prefixes = prefixes
        self._ids: set[str] = set()
        self._errors: list[FileError] = []
        self._counts_tokens = counts_tokens
        self.model: str | None = None
        self.tokens = 0

    @property
    def count(self) -> int:
        """How many requests there are."""
        return len(self._ids)

    def line(self, number: int, raw: bytes) -> None:
        """Check one line."""
        if len(self._errors) >= ERRORS_SHOWN:
            return
        try:
            line = BATCH_LINE.decode(raw)
        except msgspec.ValidationError as problem:
            self._add("invalid_request", number, f"This line is not a valid request: {problem}.")
            return
        except msgspec.DecodeError:
            self._add("invalid_json_line", number, "This line is not parseable as valid JSON.")
            return
        for code, message, param in self._line_problems(line):
            self._errors.append(FileError(code=code, line=number, message=message, param=param))

    def problems(self) -> list[FileError]:
        """List what is wrong with the file."""
        if not self._ids and not self._errors:
            return [FileError(code="empty_batch", message="The batch has no requests.")]
        return self._errors

    def _add(self, code: str, line: int, message: str) -> None:
        self._errors.append(FileError(code=code, line=line, message=message))

    def _line_problems(self, line: BatchLine) -> Iterator[tuple[str, str, str]]:
        if not line.custom_id:
            yield "invalid_request", "The custom_id of this request is empty.", "custom_id"
        if line.custom_id in self._ids:
            message = f"The custom_id '{line.custom_id}' for this request is a duplicate."
            yield "duplicate_custom_id", message, "custom_id"
        self._ids.add(line.custom_id)
        if line.method != "POST":
            yield "invalid_method", f"Invalid method '{line.method}', expected 'POST'.", "method"
        if line.url != self._endpoint:
            message = f"The URL '{line.url}' does not match the batch's '{self._endpoint}'."
            yield "url_mismatch", message, "url"
        yield from self._body_problems(line)

    def _body_problems(self, line: BatchLine) -> Iterator[tuple[str, str, str]]:
        try:
            head = HEAD.decode(line.body)
        except msgspec.MsgspecError as problem:
            yield "invalid_request", f"The body is not valid: {problem}.", "body"
            return
        if head.stream:
            message = "Streaming is not supported in the Batch API."
            yield "invalid_request", message, "body.stream"
        if self.model is None:
            try:
                if self._prefixes is not None:
                    check_model(head.model, self._prefixes)
            except RefusedError as refused:
                yield "model_not_found", refused.error.message, "body.model"
            self.model = head.model
        elif head.model != self.model:
            message = f"All requests must use one model: '{head.model}' is not '{self.model}'."
            yield "model_mismatch", message, "body.model"
        if self._counts_tokens:
            self.tokens += self._line_tokens(line)

    def _line_tokens(self, line: BatchLine) -> int:
        try:
            body = bytes(line.body)
            return input_tokens(read_request(self._endpoint, body, self._prefixes or ()))
        except RefusedError:
            return 0


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
