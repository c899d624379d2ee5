"""`batchata events LOG`: what an event log holds, as it grows or by SQL."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchata.cli import options
from batchata.cli.output import print_json, say, stdout
from batchata.core.errors import EventLogError, ValidationError

if TYPE_CHECKING:
    from rich.console import Console

_POLL_SECONDS = 1.0


def events(
    log: Annotated[str, typer.Argument(metavar="LOG", help="Folder or address of an event log.")],
    event_type: Annotated[
        list[str] | None, typer.Option("--type", help="Only events of this type; repeatable.")
    ] = None,
    custom_id: Annotated[
        list[str] | None, typer.Option("--id", help="Only events of this custom id; repeatable.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only events since then, such as 2026-11-21T10:00 (UTC).")
    ] = None,
    limit: Annotated[
        int, typer.Option(help="Show this many of the last events; 0 for all.", min=0)
    ] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep showing new events, until Ctrl-C.")
    ] = False,
    sql: Annotated[
        str | None, typer.Option(help="Ask DuckDB; the log is the table 'events'.")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Merge many small files into a few large ones.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show an event log, ask it by SQL, or tidy it up.

    The columns of SQL are those of read_events(): timestamp, run_id, logger_custom_id,
    event_type, provider, payload, prompt, answer, model, input_tokens, output_tokens, cost_usd,
    latency_seconds, error.

    Example: [bold]batchata events logs --sql "select sum(cost_usd) from events"[/bold]
    """
    if compact:
        _compact(log)
        return
    wanted = {"event_type": event_type or None, "custom_id": custom_id or None, "since": since}
    frame = _read(log, wanted)
    if sql is not None:
        _show(_ask(sql, frame), as_json)
        return
    _show(frame.tail(limit) if limit else frame, as_json)
    if follow:
        _follow(log, wanted, frame, as_json)


def _read(log: str, wanted: dict[str, Any]) -> Any:
    from batchata.sinks.eventlog import read_events

    if "://" not in log and not Path(log).exists():
        raise EventLogError(
            f"there is no event log {log!r}",
            hint="name the folder or address of .set_event_log(...) or of a ParquetLogger",
        )
    return read_events(log, **wanted)


def _compact(log: str) -> None:
    from batchata.sinks.eventlog import compact_events

    made = compact_events(log)
    say(f"{made.files_before:,} files are {made.files_after:,} now; {made.events:,} events moved")


def _follow(log: str, wanted: dict[str, Any], frame: Any, as_json: bool) -> None:
    """Show what was not there before; files come whole, so an event is new or known."""
    known = set(_keys(frame))
    while True:
        time.sleep(_POLL_SECONDS)
        frame = _read(log, wanted)
        is_new = [key not in known for key in _keys(frame)]
        if any(is_new):
            _show(frame[is_new], as_json)
            known = set(_keys(frame))


def _keys(frame: Any) -> Any:
    return zip(frame["timestamp"], frame["run_id"], frame["event_type"], strict=True)


def _ask(sql: str, events: Any) -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise EventLogError("--sql needs DuckDB", hint="pip install duckdb") from error
    connection = duckdb.connect()
    connection.register("events", events)
    try:
        return connection.execute(sql).df()
    except duckdb.Error as error:
        raise ValidationError(
            f"DuckDB cannot answer: {error}",
            hint='the table is called events: --sql "select count(*) from events"',
        ) from error
    finally:
        connection.close()


def _show(frame: Any, as_json: bool) -> None:
    if as_json:
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        print_json(rows)
    elif "payload" in frame and "event_type" in frame:
        _print_events(frame, stdout())
    else:
        _print_table(frame, stdout())


def _print_events(frame: Any, console: Console) -> None:
    from rich.text import Text

    for row in frame.to_dict("records"):
        texts = (row[name] for name in ("error", "answer", "prompt"))
        said = next((each for each in texts if isinstance(each, str)), "")
        is_error = isinstance(row["error"], str)
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{row['timestamp']:%Y-%m-%d %H:%M:%S}  ", "dim")
        line.append(f"{row['event_type']:<16}  ", "red" if is_error else "cyan")
        line.append(f"{row['logger_custom_id'] or '-':<20}  ")
        if isinstance(row["model"], str):
            line.append(f"{row['model']}  ", "dim")
        line.append(" ".join(said.split()), "red" if is_error else "")
        console.print(line)


def _print_table(frame: Any, console: Console) -> None:
    from rich.table import Table

    table = Table(*map(str, frame.columns), box=None, pad_edge=False)
    for values in frame.itertuples(index=False):
        table.add_row(*("" if value is None else str(value) for value in values))
    console.print(table)
