"""The scripted upstream: answers from a script, and the faults of a scenario among them."""

from collections.abc import Callable
from typing import Final

import orjson

from batchata.gateway.sandbox.anthropic.answers import message_body
from batchata.gateway.sandbox.drafts import draft
from batchata.gateway.sandbox.fault_book import FaultBook
from batchata.gateway.sandbox.openai.answers import chat_body, embeddings_body, response_body
from batchata.gateway.sandbox.scenario import ItemOutcome, Scenario
from batchata.gateway.sandbox.schema_values import BadSchemaError
from batchata.gateway.sandbox.upstream import Answer, Question
from batchata.gateway.wire.anthropic import MessagesRequest
from batchata.gateway.wire.errors import VendorError
from batchata.gateway.wire.openai import ChatRequest, EmbeddingsRequest
from batchata.gateway.wire.vendors import Vendor, vendor_of

Clock = Callable[[], float]

MESSAGE: Final = "scripted item fault of the sandbox"


class ScriptedUpstream:
    """Answers every question from a script; no model is behind it."""

    def __init__(self, scenario: Scenario, faults: FaultBook, clock: Clock) -> None:
        self._scenario = scenario
        self._faults = faults
        self._clock = clock

    async def answer(self, question: Question) -> Answer:
        """Answer one question by its content alone, unless a fault strikes it."""
        outcome: ItemOutcome | None = None
        if self._scenario.items:
            fault = self._faults.item(question.custom_id, question.body)
            outcome = None if fault is None else fault.outcome
        if refused := _refusal(outcome, question):
            vendor = vendor_of(question.endpoint)
            return Answer(status=refused.status, body=refused.body(vendor))
        try:
            return self._write(question, outcome)
        except BadSchemaError as problem:
            error = VendorError(status=400, message=f"Invalid schema: {problem}")
            return Answer(status=400, body=error.body(vendor_of(question.endpoint)))

    def _write(self, question: Question, outcome: ItemOutcome | None) -> Answer:
        request = question.request
        if isinstance(request, EmbeddingsRequest):
            body, usage = embeddings_body(request)
            return Answer(status=200, body=orjson.dumps(body), usage=usage)
        made = draft(question, self._scenario, outcome)
        if isinstance(request, MessagesRequest):
            body = message_body(request, made, is_batch=question.is_batch, files=question.files)
        elif isinstance(request, ChatRequest):
            body = chat_body(request, made, int(self._clock()))
        else:
            body = response_body(request, made, int(self._clock()))
        paid = None if outcome == "failed" else made.usage
        return Answer(status=200, body=orjson.dumps(body), usage=paid)


def _refusal(outcome: ItemOutcome | None, question: Question) -> VendorError | None:
    vendor: Vendor = vendor_of(question.endpoint)
    match outcome:
        case "server_error":
            return VendorError(status=500, message=MESSAGE)
        case "failed" if question.endpoint != "/v1/responses":
            return VendorError(status=500, message=MESSAGE)
        case "overloaded":
            return VendorError(status=529 if vendor == "anthropic" else 503, message=MESSAGE)
        case "rate_limited":
            code = None if vendor == "anthropic" else "rate_limit_exceeded"
            return VendorError(status=429, message=MESSAGE, code=code)
        case "invalid_request":
            return VendorError(status=400, message=MESSAGE)
    return None
