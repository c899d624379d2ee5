"""What a generation would do, and whether it can, without writing a row of output."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from batchata.core.errors import BatchataError, ProviderError, ValidationError
from batchata.core.job import Job
from batchata.core.result import Answer
from batchata.core.usage import from_parts
from batchata.generate.asking import Asker
from batchata.generate.config import Config, ModelConfig
from batchata.generate.parts import PartWriter
from batchata.generate.selection import Selection, Span, checked_span
from batchata.generate.servers import Servers
from batchata.generate.shard_run import run_config, selection_of
from batchata.generate.supervisor import run_here
from batchata.sdk.wiring import Parts

#: stands for the model where only the server knows its name
UNNAMED: Final = "the-first-model-of-the-server"
_READ_ROWS: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a generation would send; the token and cost numbers are upper bounds."""

    model: str | None  #: None: the first one that the server lists
    output: Path
    columns: tuple[str, ...]  #: of the output
    rows: int
    requests: int
    parts: int
    first_request: dict[str, Any] | None
    #: set in an estimate only
    bad_rows: int | None = None  #: rows that cannot be sent
    first_error: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None

    def to_dict(self) -> dict[str, Any]:
        """The preview as JSON-ready values, without those it does not have."""
        said = {name: getattr(self, name) for name in self.__slots__}
        said.update(output=str(self.output), columns=list(self.columns))
        if self.cost_usd is not None:
            said["cost_usd"] = float(self.cost_usd)
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked; `error` is None when it is fine."""

    what: str
    said: str
    error: BatchataError | None = None


def preview(config: Config, *, counts_all: bool = False) -> Preview:
    """What the config would send; with `counts_all` every row is prepared and added up."""
    selection = selection_of(config, None, None)
    span = checked_span(selection.rows, config.processing.split)
    asker = Asker(config, config.model.name or UNNAMED)
    asker.check(selection.file.schema)
    sums: dict[str, Any] = {}
    if counts_all:
        sums = _counted(config, asker, selection, span)
    return Preview(
        model=config.model.name,
        output=config.output_path,
        columns=tuple(PartWriter(config, selection.file.schema).schema.names),
        rows=len(span),
        requests=len(span) * asker.asks,
        parts=-(-len(span) // config.processing.rows_of_shard(len(span))),
        first_request=_first_request(config, asker, selection, span),
        **sums,
    )


def _parts(config: Config) -> Parts:
    servers = Servers(config.model, config.retry.timeout)
    name = servers.provider.name
    settings = run_config(config, config.model.name or UNNAMED)
    return Parts(settings, {}, providers={name: servers.provider})


def _first_request(
    config: Config, asker: Asker, selection: Selection, span: Span
) -> dict[str, Any] | None:
    preparer = _parts(config).preparer()
    for job in _jobs(asker, selection, Span(span.start, min(span.stop, span.start + 100))):
        try:
            body: dict[str, Any] = orjson.loads(preparer.ready(job).encoded.body)
        except ValidationError:
            continue
        if config.model.name is None:
            body.pop("model", None)
        return body
    return None


def _counted(config: Config, asker: Asker, selection: Selection, span: Span) -> dict[str, Any]:
    parts = _parts(config)
    preparer = parts.preparer()
    read = written = cost = bad = 0
    error: str | None = None
    for job in _jobs(asker, selection, span):
        try:
            ready = preparer.ready(job)
        except ValidationError as problem:
            bad += 1
            error = error or problem.message
            continue
        read += ready.encoded.input_bound
        written += ready.encoded.output_bound
        cost += ready.cost_bound
    return {
        "bad_rows": bad // asker.asks,
        "first_error": error,
        "input_tokens": read,
        "output_tokens": written,
        "cost_usd": from_parts(cost),
    }


def _jobs(asker: Asker, selection: Selection, span: Span) -> Iterator[Job]:
    for piece in span.pieces(_READ_ROWS):
        yield from asker.jobs(selection.read(piece), piece.start)


def validate(config: Config, *, sends_one: bool = True) -> Iterator[Check]:
    """Check the input, its columns, the output, the servers and one answer, in that order.

    The first row is really sent unless `sends_one` is False; the first failed check is the last.
    """
    steps: list[tuple[str, Callable[[], str]]] = [
        ("rows", lambda: _said_of_rows(config)),
        ("output", lambda: _said_of_output(config)),
    ]
    for url in config.model.url:
        steps.append((url, lambda url=url: _said_of_server(config, url)))  # type: ignore[misc]
    if sends_one:
        steps.append(("one row", lambda: _said_of_answer(config)))
    for what, look in steps:
        try:
            yield Check(what, look())
        except BatchataError as error:
            yield Check(what, error.message, error)
            return


def _said_of_rows(config: Config) -> str:
    found = preview(config)
    columns = ", ".join(found.columns)
    if found.first_request is None:
        raise ValidationError(
            "none of the first rows can be asked",
            hint=f"is column {config.data.template!r} filled in?",
        )
    return f"{found.rows:,} rows, {found.requests:,} requests; the output has {columns}"


def _said_of_output(config: Config) -> str:
    output = config.output_path
    if not output.absolute().parent.is_dir():
        raise ValidationError(
            f"the folder of {output} does not exist", hint=f"mkdir -p {output.parent}"
        )
    return f"{output} is there already" if output.exists() else f"{output} will be made"


def _said_of_server(config: Config, url: str) -> str:
    def look(servers: Servers) -> Awaitable[list[dict[str, Any]]]:
        return servers.models(url)

    names = [str(each["id"]) for each in run_here(config.model, look)]
    wanted = config.model.name
    if not names or (wanted is not None and wanted not in names):
        raise ValidationError(
            f"{url} does not have the model {wanted or ''}",
            hint=f"it has {', '.join(names[:8]) or 'none'}",
        )
    return f"has {wanted or names[0]}"


def list_models(config: ModelConfig) -> dict[str, list[str]]:
    """Names of the models of each server; ProviderError for one that does not answer."""

    async def ask(servers: Servers) -> dict[str, list[str]]:
        return {url: [str(each["id"]) for each in await servers.models(url)] for url in config.url}

    return run_here(config, ask)


def _said_of_answer(config: Config) -> str:
    async def ask(servers: Servers) -> str:
        model = await servers.choose_model()
        named = config.model_copy(update={"model": config.model.model_copy(update={"name": model})})
        asker = Asker(named, model)
        selection = selection_of(named, None, None)
        span = checked_span(selection.rows, named.processing.split)
        job = next(iter(asker.jobs(selection.read(Span(span.start, span.start + 1)), span.start)))
        codec = servers.provider.codec
        encoded = codec.encode(job, model)
        reply = await servers.pool.send(encoded.shape, encoded.body)
        if reply.failure is not None:
            raise ProviderError(
                f"the server says {reply.failure.message}",
                hint="does it know all keys of generation?",
            )
        answer = codec.decode(encoded.shape, reply.body or b"")
        if not isinstance(answer, Answer):
            raise ProviderError(answer.message, hint="does the server speak this protocol?")
        thoughts = f"; {len(answer.thinking)} characters of thoughts" if answer.thinking else ""
        return f"answered {answer.text[:60]!r}{thoughts}"

    return run_here(config.model, ask, config.retry.timeout)
