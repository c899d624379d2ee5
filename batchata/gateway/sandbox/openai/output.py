"""Makes the output and error files of an OpenAI batch."""

from typing import Final

import orjson

from batchata.gateway.sandbox.asking import ask
from batchata.gateway.sandbox.ledger import BilledItem
from batchata.gateway.sandbox.openai.checks import read_request
from batchata.gateway.sandbox.openai.files import keep_result
from batchata.gateway.sandbox.records import BatchRecord
from batchata.gateway.sandbox.result_lines import ResultFile, write_results
from batchata.gateway.sandbox.script import digest
from batchata.gateway.sandbox.upstream import Answer, Question
from batchata.gateway.sandbox.world import World
from batchata.gateway.wire.batches import LATE
from batchata.gateway.wire.errors import RefusedError, VendorError
from batchata.gateway.wire.openai import BATCH_LINE, BatchLine
from batchata.gateway.wire.vendors import Endpoint, TokenUsage

ENDPOINTS: Final[dict[str, Endpoint]] = {
    "/v1/chat/completions": "/v1/chat/completions",
    "/v1/responses": "/v1/responses",
    "/v1/embeddings": "/v1/embeddings",
}
DOWN: Final = VendorError(status=500, message="scripted item fault of the sandbox").body("openai")


async def settle(world: World, batch: BatchRecord) -> None:
    """Answer the items that are due, and write both files and the bill; once."""
    if not batch.is_settled:
        await write_results(world, batch, _Output(world, batch), BATCH_LINE.decode)


class _Output:
    """Both result files of one batch while they are made."""

    def __init__(self, world: World, batch: BatchRecord) -> None:
        self._world = world
        self._batch = batch
        self._endpoint = ENDPOINTS[batch.endpoint]
        self._prefixes = world.scenario.model_prefixes
        self._output = ResultFile(world.new_path(".output"), batch)
        self._errors = ResultFile(world.new_path(".errors"), batch)
        self._is_down = bool(batch.foreign_tag) or batch.fault("all_errors") is not None
        self._billed: list[BilledItem] = []
        both = batch.fault("both_files")
        self._in_both = 0 if both is None else max(1, int(batch.n * both.share))

    async def answered(self, line: BatchLine) -> None:
        """Answer one item."""
        if self._batch.foreign_tag:
            line.custom_id = f"{self._batch.foreign_tag}-{line.custom_id}"
        body = bytes(line.body)
        answer = await self._answer(line, body)
        mark = digest(self._world.seed_of(body)).hex()
        if answer.status != 200:
            self._batch.counts.errored += 1
            self._errors.add(_item_line(line.custom_id, mark, answer.status, answer.body))
            return
        self._batch.counts.succeeded += 1
        self._output.add(_item_line(line.custom_id, mark, 200, answer.body))
        if self._in_both > 0:
            self._in_both -= 1
            self._errors.add(_item_line(line.custom_id, mark, 500, DOWN))
        if answer.usage is not None:
            self._bill(line.custom_id, mark, answer.usage)

    def late(self, line: BatchLine, outcome: str) -> None:
        """Record an item that the batch ended too early for."""
        code, message = LATE[outcome]
        wire = {
            "id": f"batch_req_sandbox_{digest(bytes(line.body)).hex()}",
            "custom_id": line.custom_id,
            "response": None,
            "error": {"code": code, "message": message},
        }
        self._errors.add(orjson.dumps(wire))

    def finish(self) -> None:
        """Close the files, name them in the batch and write the bill."""
        extra = _item_line("unknown-sandbox-id", "0", 500, DOWN)
        self._output.close(extra=extra)
        self._errors.close()
        batch, world = self._batch, self._world
        if not batch.foreign_tag:
            world.ledger.bill_items(self._billed)
        batch.usage = TokenUsage(
            input_tokens=sum(item.input_tokens for item in self._billed),
            output_tokens=sum(item.output_tokens for item in self._billed),
            cached_tokens=sum(item.cached_tokens for item in self._billed),
        )
        if self._output.count and not batch.fault("null_output_file"):
            batch.output_file_id = self._keep(self._output, "output")
        if self._errors.count or batch.fault("empty_error_file"):
            batch.error_file_id = self._keep(self._errors, "error")

    async def _answer(self, line: BatchLine, body: bytes) -> Answer:
        if self._is_down:
            return Answer(status=500, body=DOWN)
        try:
            request = read_request(self._endpoint, body, self._prefixes)
        except RefusedError as refused:
            return Answer(status=refused.error.status, body=refused.error.body("openai"))
        question = Question(
            endpoint=self._endpoint,
            request=request,
            body=body,
            custom_id=line.custom_id,
            is_batch=True,
        )
        return await ask(self._world, question)

    def _bill(self, custom_id: str, mark: str, usage: TokenUsage) -> None:
        item = BilledItem(
            vendor="openai",
            batch_id=self._batch.id,
            custom_id=custom_id,
            endpoint=self._endpoint,
            model=self._batch.model or "",
            content=mark,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
        )
        self._billed.append(item)

    def _keep(self, file: ResultFile, kind: str) -> str:
        name = f"{self._batch.id}_{kind}.jsonl"
        seconds = self._batch.output_seconds
        return keep_result(self._world, file.path, name, seconds=seconds).id


def _item_line(custom_id: str, mark: str, status: int, body: bytes) -> bytes:
    return b'{"id":"batch_req_sandbox_%b","custom_id":%b,"response":{"status_code":%d,' % (
        mark.encode(),
        orjson.dumps(custom_id),
        status,
    ) + b'"request_id":"req_sandbox_%b","body":%b},"error":null}' % (mark.encode(), body)
