"""The config of a generation, section by section: every key there is, each with an effect."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from batchata.core.errors import ValidationError
from batchata.core.template import Template
from batchata.providers.control import checked_address
from batchata.providers.profiles import COMPATIBLE, PROFILES
from batchata.providers.registry import provider_names

OPENAI_HOST = "api.openai.com"
#: shards per worker that the remaining rows are cut into; the fewest rows worth a shard
_TURNS, _SHARD_LEAST = 2, 1_000
ROW_FILES = (".parquet", ".csv", ".jsonl", ".ndjson")
#: columns that every output has, whatever the config asks for
OWN_COLUMNS = ("thinking_text", "sample_idx", "finish_reason", "error")


def _checked_file(path: Path) -> Path:
    if path.suffix.lower() not in ROW_FILES:
        raise ValueError(f"{str(path)!r} does not end in {', '.join(ROW_FILES)}")
    return path.expanduser()


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(checked_address(url))
    except ValidationError as error:
        raise ValueError(error.message.replace("base_url", "the address")) from error
    url = url.rstrip("/").removesuffix("/chat/completions")
    has_version = re.search(r"/v[0-9]", parts.path) is not None
    return url if has_version else f"{url}/v1"


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, (str, int, float)) else value


def _distinct(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


RowFile = Annotated[Path, AfterValidator(_checked_file)]
ServerUrl = Annotated[str, AfterValidator(_checked_url)]


class Section(BaseModel):
    """A part of the config: unknown keys are refused, and values are checked whenever set."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, frozen=True)


class DataConfig(Section):
    """Which rows are asked about, and where their answers go."""

    input_path: RowFile
    output_path: RowFile
    input_column: str = "question"  #: the prompt, where there is no template
    output_column: str = "response"
    prompt_template: str | None = None  #: `{column}` is a row's value; `{{` and `}}` are braces
    copy_columns: list[str] | None = None  #: input columns to keep; all if not given
    filter_condition: str | None = None  #: as `score > 3 and lang in ("en", "de")`
    limit: int | None = Field(default=None, ge=1)
    shuffle: bool = False
    shuffle_seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.prompt_template is not None:
            try:
                Template(self.prompt_template)
            except ValidationError as error:
                raise ValueError(error.message) from error
        if self.output_column in OWN_COLUMNS:
            raise ValueError(f"output_column {self.output_column!r} is the name of another column")
        if self.input_path.absolute() == self.output_path.absolute():
            raise ValueError(f"output_path {str(self.output_path)!r} is the input as well")
        return self

    @property
    def template(self) -> str:
        """The prompt of a row as a template."""
        if self.prompt_template is not None:
            return self.prompt_template
        return "{" + self.input_column + "}"


class ModelConfig(Section):
    """Who answers."""

    #: one server or several; "/v1" is added where it is missing
    url: Annotated[list[ServerUrl], BeforeValidator(_as_list), AfterValidator(_distinct)] = []
    #: for a vendor its own variable, as OPENAI_API_KEY, if not given
    api_key: str | None = Field(default=None, repr=False)
    headers: dict[str, str] = Field(default={}, repr=False)
    name: str | None = None  #: the first one the server lists, if not given
    #: dialect to speak: vllm, openai, anthropic, groq, ...; told from the address if not given
    provider: str | None = None
    endpoint: Literal["chat", "responses"] | None = None
    concurrency: int | None = Field(default=None, ge=1)  #: calls in flight; adapts if not given
    #: USD per million tokens, as {input: 0.2, output: 0.8}; a model without a price is free
    prices: dict[str, float] = {}

    @field_validator("api_key", "headers")
    @classmethod
    def _is_said(cls, value: Any) -> Any:
        given = value.values() if isinstance(value, dict) else [value]
        if any(each is not None and "${" in each for each in given):
            raise ValueError(
                "variables are filled in only in a config file: export "
                "BATCHATA_MODEL_API_KEY (or BATCHATA_MODEL_HEADERS, as JSON) and leave it out"
            )
        return value

    @property
    def dialect(self) -> str:
        """Name of the provider that talks to the servers."""
        if self.provider is not None:
            return self.provider
        return "openai" if OPENAI_HOST in self.hosts else "vllm"

    @property
    def hosts(self) -> set[str | None]:
        """Names of the machines in the addresses."""
        return {urlsplit(url).hostname for url in self.url}

    @property
    def is_own(self) -> bool:
        """True for the user's own servers, whose tokens are free unless `prices` is given."""
        profile = PROFILES.get(self.dialect)
        if profile is not None:
            return profile.is_local or profile is COMPATIBLE
        return self.dialect == "openai" and bool(self.hosts) and OPENAI_HOST not in self.hosts


class GenerationConfig(Section):
    """What is sent with each prompt."""

    num_samples: int = Field(default=1, ge=1)
    #: ask for all samples of a row in one request (`n=`), if the server supports it
    one_request: bool = False
    temperature: float | list[float] = 1.0  #: a list has one per sample
    top_p: float = Field(default=1.0, ge=0, le=1)
    top_k: int = Field(default=-1, ge=-1)
    max_tokens: int = Field(default=512, ge=1)
    stop_sequences: Annotated[list[str] | None, BeforeValidator(_as_list)] = None
    seed: int | None = Field(
        default=None, ge=-(2**62), le=2**62
    )  #: of the first sample; each further one gets the next
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    enable_thinking: bool | None = None  #: the model's default if not given
    system_prompt: str | None = None
    response_schema: dict[str, Any] | Path | None = None  #: a JSON Schema, or the file it is in
    extra_body: dict[str, Any] = {}  #: anything else the server takes

    @field_validator("temperature")
    @classmethod
    def _is_not_below_zero(cls, value: float | list[float]) -> float | list[float]:
        given = value if isinstance(value, list) else [value]
        if not given or not all(0 <= each < float("inf") for each in given):
            raise ValueError(f"temperature is {value!r}: it must be 0 or more")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if isinstance(self.temperature, list):
            if len(self.temperature) != self.num_samples:
                raise ValueError(
                    f"temperature has {len(self.temperature)} values for {self.num_samples} "
                    "samples: give one for each"
                )
            if self.one_request and len(set(self.temperature)) > 1:
                raise ValueError("all samples of one_request share one temperature")
        return self


class ProcessingConfig(Section):
    """How the work is cut up and kept."""

    split_id: int | None = Field(default=None, ge=1)
    num_splits: int | None = Field(default=None, ge=1)
    rows_per_part: int = Field(default=10_000, ge=1)
    online_saving: bool = True  #: write a part once its rows are answered; else one at the end
    batch_size: int = Field(default=500, ge=1)  #: answers that may wait for the disk, for 0.1 s
    temp_dir: Path = Path("temp")  #: for unfinished work; relative to the output's folder
    cleanup_batches: bool = True  #: remove the parts once the output is complete
    workers: int = Field(default=1, ge=1)  #: processes
    engine: Literal["local", "ray"] = "local"  #: where they run: here, or on a Ray cluster
    limit_usd: float | None = Field(default=None, gt=0)
    rpm: int | None = Field(default=None, ge=1)  #: requests a minute, all workers together
    tpm: int | None = Field(default=None, ge=1)  #: tokens a minute, all workers together

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.split_id is None) != (self.num_splits is None):
            raise ValueError("split_id and num_splits must be given together, or not at all")
        if self.split_id is not None and self.split_id > (self.num_splits or 0):
            raise ValueError(f"split_id is {self.split_id} of {self.num_splits} splits")
        return self

    def rows_of_shard(self, left: int) -> int:
        """How many of the remaining rows a worker takes next.

        Several workers take fewer and fewer, so that all of them finish together.
        """
        most = self.rows_per_part if self.online_saving else left
        if self.workers > 1:
            most = min(most, max(_SHARD_LEAST, -(-left // (self.workers * _TURNS))))
        return max(1, most)

    @property
    def split(self) -> tuple[int, int] | None:
        """The number of the split, from 1, and how many there are; None without splits."""
        if self.split_id is None or self.num_splits is None:
            return None
        return self.split_id, self.num_splits


class RetryConfig(Section):
    """What happens when a call fails."""

    max_retries: int = Field(default=3, ge=0, le=99)
    retry_delay: float = Field(default=1.0, ge=0)  #: seconds before the first retry
    backoff_factor: float = Field(default=2.0, ge=1)
    timeout: float = Field(default=300.0, gt=0)  #: seconds an answer may take


class LoggingConfig(Section):
    """What is logged where."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    file: Path | None = None
    format: str = "{time:YYYY-MM-DD HH:mm:ss} | {level} | {message}"
    rotation: str = "1 day"  #: or a size, as "100 MB"
    retention: str = "7 days"

    @field_validator("level", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class Config(Section):
    """All settings of a generation."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    generation: GenerationConfig = GenerationConfig()
    processing: ProcessingConfig = ProcessingConfig()
    retry: RetryConfig = RetryConfig()
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        dialect = self.model.dialect
        if dialect not in provider_names():
            known = ", ".join(sorted(provider_names()))
            raise ValueError(f"model.provider {dialect!r} is not known: there are {known}")
        if self.model.provider in (None, COMPATIBLE.name) and not self.model.url:
            raise ValueError("model.url is missing: the address of the server")
        if len(self.model.url) > 1 and dialect == "anthropic":
            raise ValueError("several model.url need servers that speak the OpenAI protocol")
        return self

    @property
    def output_path(self) -> Path:
        """The file that this run writes: with `-i-of-n` in its name for a split."""
        path, split = self.data.output_path, self.processing.split
        if split is None:
            return path
        return path.with_name(f"{path.stem}-{split[0]}-of-{split[1]}{path.suffix}")

    @property
    def work_dir(self) -> Path:
        """Where unfinished work is kept until the output is complete."""
        path = self.output_path
        return path.parent / self.processing.temp_dir / f"{path.name}.work"
