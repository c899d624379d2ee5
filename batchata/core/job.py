"""One question to one model."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import PurePath
from typing import Any, Final, Literal

from pydantic import BaseModel

from batchata.core.document import FileSource, check_source, source_from_json, source_to_json
from batchata.core.errors import BatchataError, ValidationError

#: what is asked for when a job names no cap: a paid answer always has an upper bound
DEFAULT_MAX_TOKENS: Final = 1000

Message = Mapping[str, Any]
#: how a vendor is asked for an answer that fits a schema
Structured = Literal["native", "tool", "prompt"]


@dataclass(frozen=True, slots=True)
class Job:
    """One question to one model. Never changes; a retry is a new attempt of the same Job.

    Raises ValidationError when the question is missing, or given twice.
    """

    id: str  #: unique within a run; empty: derived from the content when the run starts
    model: str  #: "provider:name", or a name whose provider is known by its prefix
    messages: Sequence[Message] | None = None
    file: FileSource | None = None
    prompt: str | None = None
    temperature: float | None = None
    max_tokens: int | None = DEFAULT_MAX_TOKENS  #: cap of the answer; None: the vendor's own
    response_model: type[BaseModel] | None = None
    enable_citations: bool = False
    response_schema: Mapping[str, Any] | None = None
    endpoint: str | None = None  #: "chat", "responses", "embeddings", "messages"; None: by model
    metadata: Mapping[str, Any] | None = None  #: kept with the result, never sent
    params: Mapping[str, Any] = field(default_factory=dict)  #: passed to the vendor as they are
    files: Sequence[FileSource] = ()  #: several files, instead of `file`
    structured: Structured | None = None  #: None: as the model does it best
    downscale_images: bool = False  #: shrink an image that the vendor would refuse for its size
    #: ask for a quote with each field, and look it up in the documents
    verify_quotes: bool = False

    def __post_init__(self) -> None:
        check_question(self)

    @property
    def sources(self) -> tuple[FileSource, ...]:
        """The job's files, however they were given."""
        return tuple(self.files) if self.file is None else (self.file,)

    def to_dict(self) -> dict[str, Any]:
        """The job as JSON-ready values; a response model becomes its name and schema."""
        data: dict[str, Any] = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) is not None and f.name not in _UNSAID
        }
        if self.file is not None:
            data["file"] = source_to_json(self.file)
        if self.files:
            data["files"] = [source_to_json(each) for each in self.files]
        for name in ("downscale_images", "verify_quotes"):
            if getattr(self, name):
                data[name] = True
        if self.messages is not None:
            data["messages"] = [dict(message) for message in self.messages]
        if self.response_model is not None:
            data["response_model"] = self.response_model.__name__
            data["response_schema"] = self.response_model.model_json_schema()
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Job:
        """A job from `to_dict()`; the response model comes back as its JSON schema.

        Raises ValidationError for anything else.
        """
        if not isinstance(data, Mapping) or not {"id", "model"} <= data.keys():
            raise ValidationError(
                f"{data!r:.80} is not a job", hint="give what to_dict() returned, with id and model"
            )
        names = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - names)
        if unknown:
            raise ValidationError(
                f"a job has no field {unknown[0]!r}",
                hint=f"fields are {', '.join(sorted(names))}",
            )
        values = {key: value for key, value in data.items() if key != "response_model"}
        if "file" in values:
            values["file"] = source_from_json(values["file"])
        if "files" in values:
            values["files"] = [source_from_json(each) for each in values["files"]]
        return cls(**values)

    def with_id(self, job_id: str) -> Job:
        """The same job under another id."""
        return replace(self, id=job_id)


@dataclass(frozen=True, slots=True)
class UnaskableJob(Job):
    """A job that cannot be asked: it fails alone with `why`, and nothing is sent for it."""

    why: str = ""

    def __post_init__(self) -> None:
        """Nothing is checked: there is no question."""


def why_unaskable(job: Job, error: BatchataError) -> str:
    """The error of a job that cannot be sent, with the whole path of the file that it names."""
    paths = [PurePath(each) for each in job.sources if isinstance(each, (str, PurePath))]
    named = [each for each in paths if repr(each.name) in error.message]
    if len(named) != 1 or len(named[0].parts) == 1:
        return str(error)
    return f"{named[0]}: {error}"


_MODEL_HINT: Final = 'write model="gpt-6-luna"'
#: fields of a job that `to_dict()` says in its own way
_UNSAID: Final = frozenset({"response_model", "file", "files", "downscale_images", "verify_quotes"})


def check_question(job: Job) -> None:
    """Raise ValidationError unless the job asks exactly one question."""
    _check_names(job)
    _check_files(job)
    _check_quotes(job)
    if job.messages is not None and (job.sources or job.prompt is not None):
        raise ValidationError(
            "Provide either messages OR file+prompt, not both",
            hint="put the prompt into the messages, or leave messages out",
        )
    if job.sources and not job.prompt:
        raise ValidationError(
            f"File input requires a prompt: {job.sources[0]!r:.80} came without one",
            hint='write add_job(file=..., prompt="What is in it?")',
        )
    if job.messages is None and job.prompt is None and "input" not in job.params:
        raise ValidationError(
            "Must provide either messages or prompt",
            hint='write add_job(prompt="...") or add_job(messages=[{"role": "user", ...}])',
        )
    if job.messages is not None:
        check_messages(job.messages)
    if job.prompt is not None and not isinstance(job.prompt, str):
        raise ValidationError(
            f"prompt is a {type(job.prompt).__name__}, not text", hint='write prompt="..."'
        )
    _check_mappings(job)


def _check_names(job: Job) -> None:
    if not isinstance(job.id, str):
        raise ValidationError(f"id is {job.id!r:.80}, not text", hint='write id="invoice-17"')
    if not isinstance(job.model, str):
        raise ValidationError(f"model is {job.model!r:.80}, not a name", hint=_MODEL_HINT)
    if job.endpoint is not None and not isinstance(job.endpoint, str):
        raise ValidationError(
            f"endpoint is {job.endpoint!r:.80}, not a name", hint='write endpoint="responses"'
        )


def _check_mappings(job: Job) -> None:
    if job.metadata is None and job.response_schema is None and type(job.params) is dict:
        return  # the everyday job, of which there may be millions
    for name, value, example in (
        ("metadata", job.metadata, '{"row": 17}'),
        ("response_schema", job.response_schema, '{"type": "object", "properties": {...}}'),
        ("params", job.params, '{"top_p": 0.9}'),
    ):
        if value is not None and not isinstance(value, Mapping):
            raise ValidationError(
                f"{name} is {value!r:.80}, not a mapping", hint=f"write {name}={example}"
            )


def _check_files(job: Job) -> None:
    if job.file is not None and job.files:
        raise ValidationError("file and files were both given", hint="put all of them into files")
    if type(job.files) not in (tuple, list) and not _is_sequence(job.files):
        raise ValidationError(
            f"files is a {type(job.files).__name__}, not a list", hint='write files=["a.pdf"]'
        )
    for source in job.sources:
        check_source(source)
    if job.structured not in (None, "native", "tool", "prompt"):
        raise ValidationError(
            f"structured is {job.structured!r}",
            hint='use "native", "tool" or "prompt", or leave it out',
        )


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _check_quotes(job: Job) -> None:
    if not job.verify_quotes:
        return
    if job.response_model is None and job.response_schema is None:
        raise ValidationError(
            "verify_quotes asks for a quote with each field, and the job has no fields",
            hint="give response_model or response_schema, or leave verify_quotes out",
        )
    if job.enable_citations:
        raise ValidationError(
            "enable_citations and verify_quotes were both given",
            hint="enable_citations has the vendor's own citations (Anthropic), verify_quotes ours "
            "(every vendor): give one of them",
        )


def check_messages(messages: Sequence[Message]) -> None:
    """Raise ValidationError unless `messages` is a list of role and content mappings."""
    if type(messages) not in (list, tuple) and not _is_sequence(messages):
        raise ValidationError(
            f"messages is a {type(messages).__name__}, not a list",
            hint='write messages=[{"role": "user", "content": "..."}] or prompt="..."',
        )
    if not messages:
        raise ValidationError("messages is empty", hint="give at least one user message")
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or "role" not in message:
            raise ValidationError(
                f"messages[{index}] is {message!r:.80}, not a mapping with 'role' and 'content'",
                hint='write {"role": "user", "content": "..."}',
            )


def check_number(
    name: str, value: object, *, least: float, most: float | None = None, whole: bool = False
) -> None:
    """Raise ValidationError unless `value` is None or a number between `least` and `most`."""
    if value is None:
        return
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise ValidationError(
            f"{name} is {value!r}, not a {'whole ' if whole else ''}number", hint=f"write {name}=1"
        )
    if value != value or abs(value) == math.inf:
        raise ValidationError(f"{name} is {value!r}", hint=f"{name} is a finite number")
    if value < least or (most is not None and value > most):
        bounds = f"at least {least:g}" if most is None else f"between {least:g} and {most:g}"
        raise ValidationError(f"{name} is {value!r}", hint=f"{name} is {bounds}")


def is_unicode(text: str) -> bool:
    """False for text with half a surrogate pair, which neither JSON nor a database can hold."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


SAFE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def digest(*parts: bytes) -> bytes:
    """128 bits that stand for these parts, in this order."""
    framed = b"".join([len(part).to_bytes(8, "little") + part for part in parts])
    return hashlib.blake2b(framed, digest_size=16).digest()


def derived_id(fingerprint: bytes, occurrence: int) -> str:
    """Id of the n-th job (from 0) with this fingerprint: the same in every run of a script."""
    stem = f"job-{fingerprint.hex()}"
    return f"{stem}-{occurrence + 1}" if occurrence else stem


def safe_name(name: str, limit: int = 64) -> str:
    """`name` if it fits `[A-Za-z0-9_-]{1,limit}`, else a digest of it that does."""
    if len(name) <= limit and SAFE_ID.match(name):
        return name
    return "h" + digest(name.encode("utf-8", "surrogatepass")).hex()[: limit - 1]
