"""The question asked about every row, and the jobs that ask it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from batchata.core.errors import ValidationError
from batchata.core.job import Job, digest
from batchata.core.models import split_model
from batchata.frames.chunks import compute_prompt_hash
from batchata.frames.packs import Row, question
from batchata.frames.schema import AnswerSchema, read_schema
from batchata.providers.registry import provider_names
from batchata.sdk.settings import JOB_FIELDS, check_params

#: models that only accept their default temperature
_OWN_TEMPERATURE: Final = re.compile(r"o\d(-|\Z)|(chatgpt|gpt)-([5-9]|\d\d)")
#: this vendor requires a cap; models write less than this
_ANTHROPIC_MOST: Final = 32_000
_NOT_PARAMS: Final = JOB_FIELDS - {"temperature"} | {"id", "system", "response_format", "input"}
_JSON_WORDS: Final = (
    '\n\nAnswer in JSON: {"all_results": [...]}, with one object for each input, '
    'which repeats its "input_id".'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One question for all rows of a table."""

    prompt: str
    provider: str
    model: str
    schema: AnswerSchema | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)  #: further parameters of the vendor
    prompt_hash: str = field(init=False)
    base: bytes = field(init=False)  #: a digest of everything but the row's text

    def __post_init__(self) -> None:
        said = [
            self.provider,
            self.model,
            self.schema.text if self.schema else "",
            repr(self.temperature),
        ]
        if self.params:
            said.append(json.dumps(self.params, sort_keys=True))
        object.__setattr__(self, "prompt_hash", compute_prompt_hash(self.prompt))
        object.__setattr__(self, "base", digest(*(each.encode() for each in said)))

    def key(self, text: str, occurrence: int = 0) -> bytes:
        """A digest of model, parameters, schema and text; the n-th equal row has its own."""
        again = str(occurrence).encode() if occurrence else b""
        return digest(self.base, text.encode("utf-8", "surrogatepass"), again)

    def problem(self, row: dict[str, Any]) -> str | None:
        """Why a row of an answer does not fit; None when it does."""
        return None if self.schema is None else self.schema.problem(row)

    def job(self, job_id: str, rows: Sequence[Row]) -> Job:
        """The job that asks about these rows together."""
        params: dict[str, Any] = {**self.params, "system": self._system()}
        own_format = self.schema.response_format if self.schema is not None else None
        if own_format is not None:
            params["response_format"] = own_format
        elif self.schema is None and self.provider == "openai":
            params["response_format"] = {"type": "json_object"}
        asks_schema = self.schema is not None and own_format is None
        return Job(
            id=job_id,
            model=f"{self.provider}:{self.model}",
            messages=[{"role": "user", "content": question(rows)}],
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            response_schema=self.schema.whole if self.schema is not None and asks_schema else None,
            params=params,
            metadata={
                "asking": self.base.hex(),
                "prompt_hash": self.prompt_hash,
                "rows": [[row.id, row.key.hex()] for row in rows],
            },
        )

    def _system(self) -> Any:
        prompt = self.prompt
        if self.schema is None and "json" not in prompt.lower():
            prompt += _JSON_WORDS  # vendors refuse JSON mode for prompts without the word
        if self.provider != "anthropic":
            return prompt
        return [{"type": "text", "text": prompt, "cache_control": {"type": "ephemeral"}}]


def make_asking(
    *,
    prompt: str,
    model: str,
    backend: str,
    schema: object,
    max_tokens: int | None = None,
    temperature: float | None = 0.0,
    schema_name: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> Asking:
    """The question, checked; ValidationError for what cannot be asked."""
    known = provider_names()
    if backend not in known:
        raise ValidationError(
            f"there is no backend {backend!r}", hint=f"installed: {', '.join(sorted(known))}"
        )
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValidationError(f"prompt is {prompt!r:.80}, not text", hint="say what to extract")
    if not isinstance(model, str) or not model.strip():
        raise ValidationError(f"model is {model!r}, not a name", hint='write model="gpt-6-luna"')
    named, bare = split_model(model, known)
    provider = named or backend
    is_anthropic = provider == "anthropic"
    if is_anthropic and max_tokens is None:
        max_tokens = _ANTHROPIC_MOST
    if is_anthropic or _OWN_TEMPERATURE.match(bare):
        temperature = None
    others = _checked_params(params)
    temperature = others.pop("temperature", temperature)
    answer = read_schema(schema, dialect="anthropic" if is_anthropic else "openai")
    if answer is not None and schema_name is not None:
        answer = replace(answer, whole={**answer.whole, "title": schema_name})
    return Asking(
        prompt=prompt,
        provider=provider,
        model=bare,
        schema=answer,
        max_tokens=max_tokens,
        temperature=temperature,
        params=others,
    )


def _checked_params(params: object) -> dict[str, Any]:
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise ValidationError(f"params is {params!r:.80}", hint='write params={"top_p": 0.9}')
    for name in params:
        if name in _NOT_PARAMS:
            raise ValidationError(
                f"params has {name!r}", hint="it has an argument of its own, or is made of the rows"
            )
    check_params(params)
    try:
        json.dumps(params)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"params cannot be sent as JSON: {error}") from error
    return dict(params)
