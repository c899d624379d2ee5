"""The errors, under the module name that earlier releases had."""

from batchata.compat import ParseError
from batchata.core.errors import (
    AccountStoppedError,
    BatchataError,
    BatchSubmissionError,
    ConfigChangedError,
    CostLimitExceededError,
    DuplicateJobError,
    JobChangedError,
    MissingKeyError,
    NoRouteError,
    OutcomeUnknownError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRejectedError,
    ProviderUnavailableError,
    QueueFullError,
    ResultsError,
    RunError,
    StateError,
    StateLockedError,
    StateVersionError,
    UnknownModelError,
    UnknownPriceError,
    ValidationError,
)

#: its old name
ModelNotSupportedError = UnknownModelError

__all__ = [
    "AccountStoppedError",
    "BatchSubmissionError",
    "BatchataError",
    "ConfigChangedError",
    "CostLimitExceededError",
    "DuplicateJobError",
    "JobChangedError",
    "MissingKeyError",
    "ModelNotSupportedError",
    "NoRouteError",
    "OutcomeUnknownError",
    "ParseError",
    "ProviderError",
    "ProviderNotFoundError",
    "ProviderRejectedError",
    "ProviderUnavailableError",
    "QueueFullError",
    "ResultsError",
    "RunError",
    "StateError",
    "StateLockedError",
    "StateVersionError",
    "UnknownModelError",
    "UnknownPriceError",
    "ValidationError",
]
