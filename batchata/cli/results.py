"""`batchata results STATE`: the answers, as a table or as data."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from batchata.cli import options
from batchata.cli.files import state_file
from batchata.cli.output import say, stdout
from batchata.core.errors import ResultsError

if TYPE_CHECKING:
    from batchata.core.result import JobResult

_ROWS_SHOWN = 50


class Format(StrEnum):
    """How results are printed."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


class Status(StrEnum):
    """How jobs end, or have not yet."""

    pending = "pending"
    submitted = "submitted"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"
    skipped = "skipped"


def results(
    state: options.State,
    output_format: Annotated[
        Format, typer.Option("--format", "-f", help="How to print them.")
    ] = Format.table,
    status: Annotated[
        list[Status] | None, typer.Option(help="Only jobs of this status. Repeatable.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write to a new file.", dir_okay=False),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many jobs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> None:
    """Show the results of a run, as a table or as data.

    Also works while the run goes on. CSV has a column for each field of a structured answer and
    for each metadata column.

    Example: [bold]batchata results reviews-results --format csv --output answers.csv[/bold]
    """
    from batchata.core.status import JobStatus
    from batchata.stores.reader import ResultReader

    wanted = [JobStatus(each.value) for each in status or ()]
    with ExitStack() as stack:
        reader = stack.enter_context(closing(ResultReader(state_file(state))))
        file = sys.stdout if output is None else stack.enter_context(_new_file(output))

        def read() -> Iterator[JobResult]:
            return islice(reader.read(reader.seqs(*wanted)), limit)

        if as_json or output_format is Format.jsonl:
            _write_jsonl(read(), file)
        elif output_format is Format.csv:
            _write_csv(read, file)
        else:
            most = None if limit is not None or output is not None else _ROWS_SHOWN
            total = sum(1 for _ in reader.seqs(*wanted))
            _write_table(list(islice(read(), most)), total, file if output else None)
    if output is not None:
        say(f"written to {output}")


def _new_file(path: Path) -> IO[str]:
    try:
        return path.open("x", encoding="utf-8", newline="")
    except FileExistsError as error:
        raise ResultsError(
            f"{str(path)!r} is there already, and nothing is overwritten",
            hint="give another name to --output",
        ) from error


def _write_jsonl(found: Iterator[JobResult], file: IO[str]) -> None:
    for result in found:
        file.write(json.dumps(result.to_dict(), ensure_ascii=False) + "\n")


def _write_csv(read: Callable[[], Iterator[JobResult]], file: IO[str]) -> None:
    from batchata.sdk.results import flat_row

    # read twice: columns are known only when all rows have been seen
    names = list(dict.fromkeys(name for result in read() for name in flat_row(result)))
    writer = csv.DictWriter(file, names, restval="")
    writer.writeheader()
    for result in read():
        writer.writerow({name: _cell(value) for name, value in flat_row(result).items()})


def _cell(value: object) -> object:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else value


def _write_table(found: list[JobResult], total: int, file: IO[str] | None) -> None:
    from rich.console import Console

    from batchata.sinks.tables import results_table

    console = stdout() if file is None else Console(file=file, width=200, highlight=False)
    console.print(results_table(found))
    if len(found) < total:
        say(f"{len(found):,} of {total:,} jobs; --limit N shows more, --format csv or jsonl all")
