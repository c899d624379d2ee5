"""Makes the results of an Anthropic message batch."""

import orjson

from batchata.gateway.sandbox.anthropic.checks import read_request
from batchata.gateway.sandbox.asking import ask
from batchata.gateway.sandbox.ledger import BilledItem
from batchata.gateway.sandbox.records import BatchRecord
from batchata.gateway.sandbox.result_lines import ResultFile, write_results
from batchata.gateway.sandbox.script import digest
from batchata.gateway.sandbox.upstream import Answer, Question
from batchata.gateway.sandbox.world import World
from batchata.gateway.wire.anthropic import BATCH_REQUEST, BatchRequest
from batchata.gateway.wire.errors import RefusedError, VendorError
from batchata.gateway.wire.vendors import TokenUsage

DOWN = VendorError(status=500, message="scripted item fault of the sandbox").body("anthropic")


async def settle(world: World, batch: BatchRecord) -> None:
    """Answer the items that are due, and write the results and the bill; once."""
    if not batch.is_settled:
        await write_results(world, batch, _Results(world, batch), BATCH_REQUEST.decode)


class _Results:
    """The results of one batch while they are made."""

    def __init__(self, world: World, batch: BatchRecord) -> None:
        self._world = world
        self._batch = batch
        self._prefixes = world.scenario.model_prefixes
        self._file = ResultFile(world.new_path(".results"), batch)
        self._is_down = bool(batch.foreign_tag) or batch.fault("all_errors") is not None
        self._billed: list[BilledItem] = []

    async def answered(self, item: BatchRequest) -> None:
        """Answer one item."""
        if self._batch.foreign_tag:
            item.custom_id = f"{self._batch.foreign_tag}-{item.custom_id}"[:64]
        body = bytes(item.params)
        answer, model = await self._answer(item, body)
        if answer.status != 200:
            self._batch.counts.errored += 1
            self._file.add(_line(item.custom_id, b'"errored","error":%b' % answer.body))
            return
        self._batch.counts.succeeded += 1
        self._file.add(_line(item.custom_id, b'"succeeded","message":%b' % answer.body))
        if answer.usage is not None:
            self._bill(item.custom_id, model, body, answer.usage)

    def late(self, item: BatchRequest, outcome: str) -> None:
        """Record an item that the batch ended too early for."""
        kind = "canceled" if outcome == "cancelled" else "expired"
        self._file.add(_line(item.custom_id, b'"%b"' % kind.encode()))

    def finish(self) -> None:
        """Close the file, name it in the batch and write the bill."""
        self._file.close(extra=_line("unknown-sandbox-id", b'"errored","error":%b' % DOWN))
        if not self._batch.foreign_tag:
            self._world.ledger.bill_items(self._billed)
        self._batch.results_path = self._file.path

    async def _answer(self, item: BatchRequest, body: bytes) -> tuple[Answer, str]:
        if self._is_down:
            return Answer(status=500, body=DOWN), ""
        try:
            request = read_request(
                body, version=self._batch.version, prefixes=self._prefixes, is_batch=True
            )
        except RefusedError as refused:
            error = refused.error
            return Answer(status=error.status, body=error.body("anthropic")), ""
        question = Question(
            endpoint="/v1/messages",
            request=request,
            body=body,
            custom_id=item.custom_id,
            is_batch=True,
            version=self._batch.version,
        )
        return await ask(self._world, question), request.model

    def _bill(self, custom_id: str, model: str, body: bytes, usage: TokenUsage) -> None:
        item = BilledItem(
            vendor="anthropic",
            batch_id=self._batch.id,
            custom_id=custom_id,
            endpoint="/v1/messages",
            model=model,
            content=digest(self._world.seed_of(body)).hex(),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
        )
        self._billed.append(item)


def _line(custom_id: str, result: bytes) -> bytes:
    return b'{"custom_id":%b,"result":{"type":%b}}' % (orjson.dumps(custom_id), result)
