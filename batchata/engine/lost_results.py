"""When to believe that results are gone at the vendor, so that no hiccup loses an answer."""

from __future__ import annotations

from typing import Final

from batchata.core.errors import ProviderRejectedError
from batchata.core.submission import Submission
from batchata.engine.context import RunContext

GIVE_UP: Final = 'to give it up: set_stop(on_unresolved="resubmit")'
_GONE: Final = frozenset({404, 410})
#: vendors keep results for 29 or 30 days
_KEPT_SECONDS: Final = 28 * 86_400
#: a refusal must be said so often in a row before it is believed
REFUSALS: Final = 5
#: and of a batch that ended lately, for so long: what was just written may not be everywhere yet
_BELIEVED_SECONDS: Final = 600.0


def is_gone(error: ProviderRejectedError) -> bool:
    """True when the vendor says that there is no such thing, or not any more."""
    return error.status in _GONE


def is_results_gone(
    context: RunContext, submission: Submission, error: ProviderRejectedError, refused: int
) -> bool:
    """True when the results of a batch that this key can see are lost for good."""
    if not is_gone(error):
        return is_given_up(context, submission, error, refused)
    first_us = _first_said_us(context, submission)
    waited = (context.now_us() - first_us) / 1e6
    is_believed = waited >= _BELIEVED_SECONDS * context.config.poll_factor
    return refused >= REFUSALS and (is_believed or is_given_up(context, submission, error, refused))


def is_given_up(
    context: RunContext, submission: Submission, error: ProviderRejectedError, refused: int
) -> bool:
    """True when a refused batch is too old to be anywhere, or its user wants no more of it.

    Any other batch may be there for another key.
    """
    if refused < REFUSALS:
        return False
    if context.config.on_unresolved == "resubmit":
        return True
    age = (context.now_us() - (submission.accepted_us or submission.intended_us)) / 1e6
    return is_gone(error) and age >= _KEPT_SECONDS


def note_back(context: RunContext, submission: Submission) -> None:
    """What was refused is there after all: a later refusal is the first of its row."""
    context.store.set_meta(**{_name(submission): None})


def _name(submission: Submission) -> str:
    return f"gone {submission.token}"


def _first_said_us(context: RunContext, submission: Submission) -> int:
    """When the vendor first said so; written down, so that a later run goes on counting."""
    name = _name(submission)
    known = context.store.meta(name)
    if known is None:
        known = context.now_us()
        context.store.set_meta(**{name: known})
    return int(known)
