"""Asking again after an answer that does not fit: with that answer, and what was wrong with it.

Nothing of the second request is kept: it is made of the first one and of the refused answer, which
are both in the state file, so that a resumed run sends the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import orjson

from batchata.core.bounds import dearer_tier, price_factor
from batchata.core.submission import Bounds, Shape, attached_size
from batchata.core.usage import RateCard
from batchata.engine.context import RunContext
from batchata.ports import WithErrors

#: framing tokens of the two turns that a request grows by
_TURNS = 32


def requests(context: RunContext, seqs: Sequence[int]) -> Iterator[bytes]:
    """Bodies of these jobs as they go out, in this order."""
    bodies = context.store.bodies(seqs)
    again = [seq for seq in seqs if seq in context.state.reasks]
    if not again:
        yield from bodies
        return
    refused = context.store.refused(again)
    for seq, body in zip(seqs, bodies, strict=True):
        shape = context.shape(seq)
        with_errors = _with_errors(context, shape)
        if seq in refused and with_errors is not None:
            answer, error = refused[seq]
            body = with_errors(shape, body, answer, [error])
        yield body


def next_bounds(
    context: RunContext, seq: int, shape: Shape, answer: str, error: str
) -> Bounds | None:
    """What asking again after this answer can use and cost; None when that is no more than before.

    Raises UnknownPriceError when a price is not known.
    """
    with_errors = _with_errors(context, shape)
    if with_errors is None:
        return None
    state, store = context.state, context.store
    (body,) = store.bodies([seq])
    files = store.attachments([seq]).get(seq, ())
    size = attached_size(files) + len(with_errors(shape, body, answer, [error]))
    grown = max(0, size - state.size_bytes[seq])
    before = state.input_bound[seq]
    tokens = before + grown + _TURNS
    tier = context.bound_tier
    request = orjson.loads(body)
    if tier == "standard":
        tier = dearer_tier(request) or tier
    card: RateCard = context.card(shape.provider, shape.model, tier)
    most = store.output_bounds([seq])[seq]
    more = added_cost(card, before, tokens, most, price_factor(request))
    return Bounds(state.size_bytes[seq] + grown, tokens, state.cost_bound[seq] + more)


def added_cost(card: RateCard, before: int, after: int, output_bound: int, factor: Decimal) -> int:
    """How much more a request can cost, in 1e-12 USD, when its input grows to `after` tokens."""
    first = card.worst_case(before, output_bound, factor=factor)
    return card.worst_case(after, output_bound, factor=factor) - first


def _with_errors(context: RunContext, shape: Shape) -> WithErrors | None:
    provider = context.providers.get(shape.provider)
    return provider.codec.with_errors if provider is not None else None
