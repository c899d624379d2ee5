"""What a big job over a table is told, in values with names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

from batchata.core.errors import ValidationError
from batchata.core.job import check_number

PartitionOn = Literal["date"] | None


@dataclass(frozen=True, kw_only=True)
class S3Config:
    """A bucket that the log is also written to; credentials come from the environment."""

    bucket: str
    prefix: str = "langchain-logs/"
    on_failure: Literal["error", "continue"] = "error"  #: a run fails with its log, or goes on
    retry_attempts: int = 3  #: a file that failed so often waits for the next one
    region: str | None = None
    endpoint_url: str | None = None  #: of another store that speaks S3

    def __post_init__(self) -> None:
        if not self.bucket:
            raise ValidationError("S3Config has no bucket", hint='write S3Config(bucket="logs")')
        if self.on_failure not in ("error", "continue"):
            raise ValidationError(
                f"on_failure is {self.on_failure!r}", hint="on_failure is 'error' or 'continue'"
            )
        check_number("retry_attempts", self.retry_attempts, least=0, whole=True)

    def url(self, below: str = "") -> str:
        """The address of the log, or of a folder in it."""
        options: dict[str, str] = {}
        if self.region:
            options["region"] = self.region
        if self.endpoint_url:
            scheme, _, host = self.endpoint_url.rpartition("://")
            options |= {"endpoint_override": host, "scheme": scheme or "https"}
        path = "/".join(part.strip("/") for part in (self.bucket, self.prefix, below) if part)
        return f"s3://{path}" + (f"?{urlencode(options)}" if options else "")


@dataclass(frozen=True, kw_only=True)
class LLMConfig:
    """A model to be made: its class and what it is called with."""

    llm_class: Any
    llm_kwargs: Mapping[str, Any] = field(default_factory=dict)
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)  #: bound to each call
    structured_output: Any = None

    def create_llm(self, callbacks: Sequence[Any] | None = None) -> Any:
        """The model, with its structured output and these callbacks."""
        made = dict(self.llm_kwargs or {})
        if callbacks:
            made["callbacks"] = [*(made.get("callbacks") or ()), *callbacks]
        llm = self.llm_class(**made)
        if self.structured_output is not None:
            return llm.with_structured_output(self.structured_output, **(self.model_kwargs or {}))
        return llm.bind(**self.model_kwargs) if self.model_kwargs else llm

    def to_metadata_dict(self) -> dict[str, Any]:
        """The model in plain values; keys are taken out where it is written."""
        schema = self.structured_output
        return {
            "llm_class": getattr(self.llm_class, "__name__", str(self.llm_class)),
            "llm_kwargs": {
                name: value
                for name, value in (self.llm_kwargs or {}).items()
                if name != "callbacks"
            },
            "model_kwargs": dict(self.model_kwargs or {}),
            "structured_output": getattr(schema, "__name__", schema),
        }


@dataclass(frozen=True, kw_only=True)
class JobConfig:
    """What the job is, for whoever reads the log."""

    category: str = "batch_processing"
    subcategory: str | None = None
    description: str | None = None
    version: str | None = None
    environment: str | None = None
    metadata: Mapping[str, Any] | None = None

    def to_metadata_dict(self) -> dict[str, Any]:
        """The job in plain values, without what was not said."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class StorageConfig:
    """Where the log goes."""

    output_dir: str = "./batch_logs"
    path_template: str = "{job_category}/{job_subcategory}/v{job_version_safe}"
    s3_config: S3Config | None = None

    def folder(self, job: JobConfig) -> str:
        """The path below the output folder, from the template."""
        version = job.version or "unversioned"
        names = {
            "job_category": job.category,
            "job_subcategory": job.subcategory or "default",
            "job_version": version,
            "job_version_safe": version.replace(".", "_"),
            "environment": job.environment or "production",
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        }
        for name in re.findall(r"{(\w*)}", self.path_template):
            if name not in names:
                raise ValidationError(
                    f"path_template has {{{name}}}", hint=f"it may have: {', '.join(names)}"
                )
        return self.path_template.format(**names)


@dataclass(frozen=True, kw_only=True)
class ProcessingConfig:
    """How the job goes."""

    max_concurrency: int = 100
    buffer_size: int = 1000
    show_progress: bool = True
    return_exceptions: bool = True
    return_results: bool = False
    event_types: Collection[str] | None = None
    partition_on: PartitionOn = "date"
    cost_limit_usd: float | None = None  #: over all calls of the same job; None: no limit


@dataclass(frozen=True, kw_only=True)
class ColumnConfig:
    """Names of the table's columns."""

    prompt: str = "prompt"
    config: str = "config"
    tools: str = "tools"
