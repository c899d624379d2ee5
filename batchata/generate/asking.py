"""Turns rows into jobs: what is sent for each row, and for each of its samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow

from batchata.core.errors import ValidationError
from batchata.core.job import Job, UnaskableJob
from batchata.core.template import Template
from batchata.generate.config import Config, GenerationConfig

#: keys of the body that have settings of their own
_OWN_FIELDS: Final = {
    "model": "model.name",
    "messages": "data.prompt_template and generation.system_prompt",
    "input": "data.prompt_template",
    "n": "generation.num_samples",
    "stream": "nothing: bulk work is not streamed",
}


class Asker:
    """Makes the jobs of rows; ValidationError for a config that cannot be asked."""

    def __init__(self, config: Config, model: str) -> None:
        self._template = Template(config.data.template)
        self._is_bare = config.data.prompt_template is None
        self.columns = self._template.columns
        settings = config.generation
        self.asks = 1 if settings.one_request else settings.num_samples  #: per row
        params = _params(config)
        schema = _schema(settings)
        self._patterns = [
            Job(
                "-",
                f"{config.model.dialect}:{model}",
                prompt="-",
                temperature=_temperature(settings, sample),
                max_tokens=settings.max_tokens,
                response_schema=schema,
                endpoint=config.model.endpoint,
                params={**params, **_seed(settings, sample)},
            )
            for sample in range(self.asks)
        ]

    def check(self, schema: pyarrow.Schema) -> None:
        """Raise ValidationError when a column of the prompt is missing, or holds bytes."""
        self._template.check(dict.fromkeys(schema.names), "the input")
        for name in self.columns:
            if _is_binary(schema.field(name).type):
                raise ValidationError(
                    f"column {name!r} holds bytes, and a prompt is text",
                    hint="write it as text, as with pandas: df[name].str.decode('utf-8')",
                )

    def jobs(self, table: pyarrow.Table, start: int) -> Iterator[Job]:
        """A job for each sample of each row; the first row is at position `start`.

        A row without a value for its prompt becomes a job that fails alone.
        """
        rows = table.select(list(self.columns)).to_pylist() if self.columns else None
        for number in range(table.num_rows):
            row = rows[number] if rows is not None else {}
            asked, why = self._asked(row)
            for sample, pattern in enumerate(self._patterns):
                name = f"{start + number}-{sample}" if self.asks > 1 else str(start + number)
                if why is None:
                    yield _job(name, pattern, asked)
                else:
                    said = f"row {start + number} {why}"
                    yield UnaskableJob(name, pattern.model, prompt=name, why=said)

    def _asked(self, row: Mapping[str, Any]) -> tuple[str | list[dict[str, Any]], str | None]:
        """A row's prompt or whole conversation, and why it cannot be asked, if it cannot."""
        why = self._template.why_unfilled(row)
        if why is not None:
            return "", why
        talk = _conversation(row[self.columns[0]]) if self._is_bare else None
        if talk is None:
            return self._template.fill(row), None
        for number, each in enumerate(talk):
            if each.get("content") is None and not each.get("tool_calls"):
                return "", f"cannot be asked: messages[{number}] has no content"
        return talk, None


def _conversation(value: Any) -> list[dict[str, Any]] | None:
    """The messages of a chat from a list column; None for any other value."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in value):
        return None
    # a column of tables has every key in every message
    return [
        {name: said for name, said in each.items() if said is not None or name == "content"}
        for each in value
    ]


def _job(name: str, pattern: Job, asked: str | list[dict[str, Any]]) -> Job:
    """A job like the pattern, with this prompt or conversation."""
    params = pattern.params
    talk = None if isinstance(asked, str) else asked
    if talk is not None and talk[0]["role"] in ("system", "developer"):  # the row's own
        params = {key: value for key, value in params.items() if key != "system"}
    return Job(
        name,
        pattern.model,
        messages=talk,
        prompt=asked if isinstance(asked, str) else None,
        temperature=pattern.temperature,
        max_tokens=pattern.max_tokens,
        response_schema=pattern.response_schema,
        endpoint=pattern.endpoint,
        params=params,
    )


def _is_binary(kind: pyarrow.DataType) -> bool:
    types = pyarrow.types
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    )


def _params(config: Config) -> dict[str, Any]:
    settings, provider = config.generation, config.model.dialect
    is_anthropic = provider == "anthropic"
    params: dict[str, Any] = {}
    if not is_anthropic or settings.top_p < 1:  # Claude takes one of top_p and temperature
        params["top_p"] = settings.top_p
    if settings.top_k > 0:
        params["top_k"] = settings.top_k
    if settings.stop_sequences:
        params["stop_sequences" if is_anthropic else "stop"] = list(settings.stop_sequences)
    for name in ("presence_penalty", "frequency_penalty"):
        if getattr(settings, name):
            params[name] = getattr(settings, name)
    if settings.system_prompt is not None:
        params["system"] = settings.system_prompt
    if settings.one_request and settings.num_samples > 1:
        params["n"] = settings.num_samples
    params.update(_extra(settings))
    if settings.enable_thinking is not None:
        params.update(_thinking(settings, params, provider))
    return params


def _extra(settings: GenerationConfig) -> dict[str, Any]:
    for name, instead in _OWN_FIELDS.items():
        if name in settings.extra_body:
            raise ValidationError(
                f"generation.extra_body cannot set {name!r}", hint=f"it is set by {instead}"
            )
    return dict(settings.extra_body)


def _thinking(
    settings: GenerationConfig, params: Mapping[str, Any], provider: str
) -> dict[str, Any]:
    if provider == "anthropic":
        raise ValidationError(
            f"generation.enable_thinking means nothing to {provider}",
            hint="write what it takes into generation.extra_body: thinking: {...}",
        )
    kwargs = {**params.get("chat_template_kwargs", {}), "enable_thinking": settings.enable_thinking}
    return {"chat_template_kwargs": kwargs}


def _temperature(settings: GenerationConfig, sample: int) -> float:
    given = settings.temperature
    return given[sample] if isinstance(given, list) else given


def _seed(settings: GenerationConfig, sample: int) -> dict[str, Any]:
    return {} if settings.seed is None else {"seed": settings.seed + sample}


def _schema(settings: GenerationConfig) -> Mapping[str, Any] | None:
    given = settings.response_schema
    if not isinstance(given, Path):
        return given
    try:
        schema = json.loads(given.read_bytes())
    except (OSError, ValueError) as error:
        raise ValidationError(
            f"generation.response_schema cannot be read from {str(given)!r}: {error}",
            hint="name a file that holds a JSON Schema, or write the schema itself",
        ) from error
    if not isinstance(schema, dict):
        raise ValidationError(f"{given} holds a {type(schema).__name__}, not a JSON Schema")
    return schema
