"""The errors a user can meet.

BatchataError
├── ValidationError            something given to us cannot be used (also a ValueError)
│   ├── UnknownModelError          no provider can be told from the model's name
│   ├── DuplicateJobError          two jobs of one run have the same id
│   ├── JobChangedError            a known id comes back with another question
│   ├── ConfigChangedError         a generation goes on with another config, or another input
│   ├── UnknownPriceError          a cost was asked for a model without a price
│   └── NoRouteError               the provider does not offer the route that was asked for
├── ProviderError              a vendor, or the way to it
│   ├── ProviderNotFoundError      no such provider is installed
│   ├── MissingKeyError            the vendor's key is not set
│   ├── ProviderUnavailableError   try again: network, 429, 5xx
│   │   └── OutcomeUnknownError        the vendor may have taken the request: look, do not repeat
│   └── ProviderRejectedError      do not try again: the vendor said no
│       ├── AccountStoppedError        key, permission, credit or spend limit: stop the run
│       ├── BatchSubmissionError       the vendor refused a whole batch
│       └── QueueFullError             the vendor's batch queue is full: wait, then send again
├── CostLimitExceededError     asked to raise where a limit was reached
├── StateError                 the state file cannot be used
│   ├── StateLockedError           another run has it
│   └── StateVersionError          written by a newer batchata
├── ResultsError               results cannot be written or read
├── EventLogError              the event log cannot be written or read
└── RunError                   a run was used in a way it cannot be
"""

from __future__ import annotations


class BatchataError(Exception):
    """The root of all errors of batchata; `hint` says what to write instead."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint, dict(self.__dict__)))


def _rebuild(
    kind: type[BatchataError], message: str, hint: str | None, data: dict[str, object]
) -> BatchataError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(data, message=message, hint=hint)
    return error


class ValidationError(BatchataError, ValueError):
    """Something given to batchata cannot be used."""


class UnknownModelError(ValidationError):
    """No provider can be told from the model's name."""


class DuplicateJobError(ValidationError):
    """Two jobs of one run have the same id."""


class JobChangedError(ValidationError):
    """A job id known to the state file came back with another question."""


class ConfigChangedError(ValidationError):
    """A generation was begun with another config, or another input."""


class UnknownPriceError(ValidationError):
    """A cost was asked for a model whose price is not known."""


class NoRouteError(ValidationError):
    """The provider of a model does not offer the route that was asked for."""


class ProviderError(BatchataError):
    """A vendor, or the way to it, failed."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds


class ProviderNotFoundError(ProviderError):
    """No provider of that name is installed."""


class MissingKeyError(ProviderError):
    """The vendor's key is not set; the message names the variable."""


class ProviderUnavailableError(ProviderError):
    """The vendor cannot be reached or is overloaded: the same request may be sent again."""


class OutcomeUnknownError(ProviderUnavailableError):
    """The vendor may have taken the request: it must be looked up, not repeated."""


class ProviderRejectedError(ProviderError):
    """The vendor said no: the same request would be refused again."""


class AccountStoppedError(ProviderRejectedError):
    """Key, permission, credit or spend limit: nothing more can be sent for now."""


class BatchSubmissionError(ProviderRejectedError):
    """The vendor refused a whole batch."""


class QueueFullError(ProviderRejectedError):
    """The vendor's batch queue is full: the same batch may be sent again later."""


class CostLimitExceededError(BatchataError):
    """A cost limit was reached and the caller asked for an error."""


class StateError(BatchataError):
    """The state file cannot be read, written or trusted."""


class StateLockedError(StateError):
    """Another run is using the state file."""


class StateVersionError(StateError):
    """The state file was written by a newer version of batchata."""


class ResultsError(BatchataError):
    """Results cannot be written to, or read from, the results folder."""


class EventLogError(BatchataError):
    """Events cannot be written to, or read from, an event log."""


class RunError(BatchataError):
    """A run was asked for something it cannot do in its present state."""
