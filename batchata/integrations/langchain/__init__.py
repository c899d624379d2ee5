"""LangChain: a callback that logs everything, many rows at once, and half-price batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchata.core.errors import ValidationError
from batchata.core.lazy import lazy_exports

try:
    import langchain_core as _langchain_core  # noqa: F401
except ImportError as error:
    raise ValidationError(
        "batchata.integrations.langchain needs langchain-core, which is not installed",
        hint="pip install 'batchata[langchain]'",
    ) from error

if TYPE_CHECKING:
    from batchata.integrations.background import (
        retrieve_background_responses as retrieve_background_responses,
    )
    from batchata.integrations.langchain.batching import BatchataChatModel as BatchataChatModel
    from batchata.integrations.langchain.batching import batch_model as batch_model
    from batchata.integrations.langchain.configs import ColumnConfig as ColumnConfig
    from batchata.integrations.langchain.configs import JobConfig as JobConfig
    from batchata.integrations.langchain.configs import LLMConfig as LLMConfig
    from batchata.integrations.langchain.configs import ProcessingConfig as ProcessingConfig
    from batchata.integrations.langchain.configs import S3Config as S3Config
    from batchata.integrations.langchain.configs import StorageConfig as StorageConfig
    from batchata.integrations.langchain.event_types import EventType as EventType
    from batchata.integrations.langchain.logger import ParquetLogger as ParquetLogger
    from batchata.integrations.langchain.processing import batch_process as batch_process
    from batchata.integrations.langchain.processing import batch_run as batch_run
    from batchata.integrations.langchain.tagging import CUSTOM_ID_PREFIX as CUSTOM_ID_PREFIX
    from batchata.integrations.langchain.tagging import extract_custom_id as extract_custom_id
    from batchata.integrations.langchain.tagging import with_tags as with_tags

#: who only logs does not pay for the rest
_HOMES = {
    "BatchataChatModel": ".batching",
    "CUSTOM_ID_PREFIX": ".tagging",
    "ColumnConfig": ".configs",
    "EventType": ".event_types",
    "JobConfig": ".configs",
    "LLMConfig": ".configs",
    "ParquetLogger": ".logger",
    "ProcessingConfig": ".configs",
    "S3Config": ".configs",
    "StorageConfig": ".configs",
    "batch_model": ".batching",
    "batch_process": ".processing",
    "batch_run": ".processing",
    "extract_custom_id": ".tagging",
    "retrieve_background_responses": "..background",  # beside this package: it needs no LangChain
    "with_tags": ".tagging",
}

__all__ = sorted(_HOMES)


__getattr__ = lazy_exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
