"""What a big job over a table is told, in values with names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from batchata.core.errors import EventLogError, ValidationError
from batchata.core.job import check_number
from batchata.sinks.eventlog.place import Place, place_of
from batchata.sinks.eventlog.table import import_pyarrow

PartitionOn = Literal["date"] | None


@dataclass(frozen=True)
class S3Config:
    """A bucket that the log is written to as well; credentials come from the environment."""

    bucket: str
    prefix: str = "langchain-logs/"
    on_failure: Literal["error", "continue"] = "error"  #: a run fails with its log, or goes on
    retry_attempts: int = 3  #: of one request; a file that failed is tried again later all the same
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

    @classmethod
    def of(cls, given: S3Config | Mapping[str, Any] | None) -> S3Config | None:
        """The config itself, or one made from a mapping; ValidationError for an unknown key."""
        if given is None or isinstance(given, S3Config):
            return given
        names = cls.__dataclass_fields__
        for name in given:
            if name not in names:
                raise ValidationError(
                    f"s3_config has {name!r}", hint=f"it may have: {', '.join(names)}"
                )
        return cls(**given)

    @property
    def url(self) -> str:
        """The address of the log."""
        return "s3://" + "/".join(part.strip("/") for part in (self.bucket, self.prefix) if part)

    def place(self) -> Place:
        """The bucket as a place of the event log; EventLogError if its region cannot be found."""
        fs = import_pyarrow().fs
        options: dict[str, Any] = {"region": self.region}
        try:
            if self.endpoint_url:
                options["endpoint_override"] = self.endpoint_url
            elif not self.region:
                options["region"] = fs.resolve_s3_region(self.bucket)
        except OSError as error:
            raise EventLogError(
                f"the region of the bucket {self.bucket!r} is not known: {error}",
                hint='write S3Config(bucket=…, region="eu-central-1")',
            ) from error
        attempts = fs.AwsStandardS3RetryStrategy(max_attempts=max(1, self.retry_attempts))
        return place_of(self.url, fs.S3FileSystem(retry_strategy=attempts, **options))


@dataclass(frozen=True)
class LLMConfig:
    """A model to make: its class and its arguments."""

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
        """The model as plain values; keys are removed when it is written."""
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


@dataclass(frozen=True)
class JobConfig:
    """What the job is, for readers of the log."""

    category: str = "batch_processing"
    subcategory: str | None = None
    description: str | None = None
    version: str | None = None
    environment: str | None = None
    metadata: Mapping[str, Any] | None = None

    def to_metadata_dict(self) -> dict[str, Any]:
        """The job as plain values, without what was not given."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class ProcessingConfig:
    """How the rows are asked: concurrency, retries and the like."""

    max_concurrency: int = 100
    buffer_size: int = 1000
    show_progress: bool = True
    return_exceptions: bool = True
    return_results: bool = False
    event_types: Collection[str] | None = None
    partition_on: PartitionOn = "date"
    cost_limit_usd: Decimal | float | None = None  #: over all calls of the same job; None: no limit


@dataclass(frozen=True)
class ColumnConfig:
    """Names of the table's columns."""

    prompt: str = "prompt"
    config: str = "config"
    tools: str = "tools"
