"""Bulk LLM work: each job sent exactly once, by the cheapest route, inside a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchata.core.lazy import lazy_exports

if TYPE_CHECKING:
    from batchata.batch import Batch as Batch
    from batchata.batch import BatchParams as BatchParams
    from batchata.core.budget import CostTracker as CostTracker
    from batchata.core.config import RunConfig as RunConfig
    from batchata.core.document import FileId as FileId
    from batchata.core.document import FileUrl as FileUrl
    from batchata.core.errors import BatchataError as BatchataError
    from batchata.core.errors import CostLimitExceededError as CostLimitExceededError
    from batchata.core.errors import ProviderError as ProviderError
    from batchata.core.errors import ProviderNotFoundError as ProviderNotFoundError
    from batchata.core.errors import StateError as StateError
    from batchata.core.errors import ValidationError as ValidationError
    from batchata.core.job import Job as Job
    from batchata.core.logged import LoggedEvent as LoggedEvent
    from batchata.core.pilot import PilotReport as PilotReport
    from batchata.core.result import Citation as Citation
    from batchata.core.result import Failure as Failure
    from batchata.core.result import JobResult as JobResult
    from batchata.core.result import Reason as Reason
    from batchata.core.status import JobStatus as JobStatus
    from batchata.core.usage import Usage as Usage
    from batchata.prices import GenaiPriceBook as GenaiPriceBook
    from batchata.run import BatchRun as BatchRun
    from batchata.run import Estimate as Estimate
    from batchata.run import Results as Results
    from batchata.sinks.eventlog import EventLog as EventLog
    from batchata.sinks.eventlog import compact_events as compact_events
    from batchata.sinks.eventlog import read_events as read_events
    from batchata.sinks.terminal import RichBatchProgressDisplay as RichBatchProgressDisplay
    from batchata.stores.manager import BatchState as BatchState
    from batchata.stores.manager import StateManager as StateManager

__version__ = "0.5.0"

_HOMES = {
    "Batch": "batchata.batch",
    "BatchParams": "batchata.batch",
    "BatchRun": "batchata.run",
    "BatchState": "batchata.stores.manager",
    "BatchataError": "batchata.core.errors",
    "Citation": "batchata.core.result",
    "CostLimitExceededError": "batchata.core.errors",
    "CostTracker": "batchata.core.budget",
    "Estimate": "batchata.run",
    "EventLog": "batchata.sinks.eventlog",
    "Failure": "batchata.core.result",
    "FileId": "batchata.core.document",
    "FileUrl": "batchata.core.document",
    "GenaiPriceBook": "batchata.prices",
    "Job": "batchata.core.job",
    "JobResult": "batchata.core.result",
    "JobStatus": "batchata.core.status",
    "LoggedEvent": "batchata.core.logged",
    "PilotReport": "batchata.core.pilot",
    "ProviderError": "batchata.core.errors",
    "ProviderNotFoundError": "batchata.core.errors",
    "Reason": "batchata.core.result",
    "Results": "batchata.run",
    "RichBatchProgressDisplay": "batchata.sinks.terminal",
    "RunConfig": "batchata.core.config",
    "StateError": "batchata.core.errors",
    "StateManager": "batchata.stores.manager",
    "Usage": "batchata.core.usage",
    "ValidationError": "batchata.core.errors",
    "compact_events": "batchata.sinks.eventlog",
    "read_events": "batchata.sinks.eventlog",
}

__all__ = [*sorted(_HOMES), "__version__"]


__getattr__ = lazy_exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
