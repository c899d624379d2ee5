"""Quotes of answers, looked up in the documents beside the event loop, one document at a time."""

from __future__ import annotations

import asyncio

import msgspec

from batchata.core.answer_extra import quotes_of, with_citations
from batchata.core.result import Citation
from batchata.core.submission import Outcome
from batchata.engine.context import RunContext


class Quoting:
    """Puts citations in place of the quotes of outcomes."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        # reading a PDF keeps a processor busy: more threads would not be faster
        self._gate = asyncio.Semaphore(1)

    def is_wanted(self, seq: int) -> bool:
        """True for a job whose answer has quotes to be looked up."""
        return self._context.shape(seq).quotes

    async def read_ahead(self, seq: int) -> None:
        """Read a job's documents before it is paid for, so that its answer waits for nothing."""
        if self.is_wanted(seq):
            await self._find({}, seq)

    async def cited(self, outcome: Outcome) -> Outcome:
        """The outcome with each quote found, not found or not checked."""
        extra = outcome.extra
        if extra is None or not self.is_wanted(outcome.seq):
            return outcome
        quotes = quotes_of(extra)
        if not quotes:
            return outcome
        found = await self._find(quotes, outcome.seq)
        return msgspec.structs.replace(outcome, extra=with_citations(extra, found))

    async def _find(self, quotes: dict[str, str], seq: int) -> dict[str, list[Citation]]:
        store = self._context.store
        (body,) = store.bodies([seq])
        attachments = store.attachments([seq]).get(seq, ())
        async with self._gate:
            return await asyncio.to_thread(self._context.find_quotes, quotes, body, attachments)
