"""LangChain: a callback that logs everything, many rows at once, and half-price batches."""

from __future__ import annotations

from batchata.core.errors import ValidationError

try:
    import langchain_core as _langchain_core  # noqa: F401
except ImportError as error:
    raise ValidationError(
        "batchata.integrations.langchain needs langchain-core, which is not installed",
        hint="pip install 'batchata[langchain]'",
    ) from error

from batchata.integrations.background import (
    retrieve_background_responses as retrieve_background_responses,
)
from batchata.integrations.langchain.batch_model import BatchataChatModel as BatchataChatModel
from batchata.integrations.langchain.batch_model import batch_model as batch_model
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

__all__ = [
    "CUSTOM_ID_PREFIX",
    "BatchataChatModel",
    "ColumnConfig",
    "EventType",
    "JobConfig",
    "LLMConfig",
    "ParquetLogger",
    "ProcessingConfig",
    "S3Config",
    "StorageConfig",
    "batch_model",
    "batch_process",
    "batch_run",
    "extract_custom_id",
    "retrieve_background_responses",
    "with_tags",
]
