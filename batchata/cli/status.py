"""`batchata status STATE`: how far a run is."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import typer

from batchata.cli import options
from batchata.cli.files import limit_of, state_file
from batchata.cli.output import OK, SOME_FAILED, print_json, stdout

if TYPE_CHECKING:
    from rich.console import Console

    from batchata.core.state import RunState

#: rows of the table; a run in the background may have thousands
_MOST_SHOWN: Final = 30


def status(state: options.State, as_json: options.Json = False) -> None:
    """Show how far a run is.

    Reads the state file alone, no vendor is asked. Also works while the run goes on. Leaves
    with 3 while jobs are unfinished or have failed.

    Example: [bold]batchata status reviews-results[/bold]
    """
    from batchata.stores.sqlite import SQLiteStore

    path = state_file(state)
    with closing(SQLiteStore(path, read_only=True)) as store:
        report = {"state_file": str(path), **describe(store.load()), "limit_usd": limit_of(store)}
    if as_json:
        print_json(report)
    else:
        _print(report, stdout())
    raise typer.Exit(OK if report["jobs"]["succeeded"] == report["total"] else SOME_FAILED)


def describe(state: RunState) -> dict[str, Any]:
    """A state file in numbers."""
    from batchata.core.assemble import moment
    from batchata.core.status import STATUSES, SubmissionStatus

    opened = [each for each in state.open_submissions() if each.route != "live"]
    calls = [each for each in state.open_submissions() if each.route == "live"]
    counts = Counter(state.status)
    return {
        "total": len(state),
        "jobs": {each.value: counts[code] for code, each in enumerate(STATUSES)},
        "spent_usd": state.cost.used_usd,
        "reserved_usd": state.cost.reserved_usd,
        "possibly_billed": state.cost.uncertain_calls,
        "possibly_billed_usd": state.cost.uncertain_usd,
        "input_tokens": state.usage.input_tokens,
        "output_tokens": state.usage.output_tokens,
        "live_calls": sum(state.left[each.token] for each in calls),
        "batches": state.batches,
        "batches_unresolved": sum(each.status is SubmissionStatus.UNRESOLVED for each in opened),
        "in_flight": [
            {
                "provider": each.provider,
                "model": each.model,
                "jobs": len(each.seqs),
                "status": each.status.name.lower(),
                "batch_id": each.remote_id,
                "since": moment(each.accepted_us or each.intended_us),
                "note": each.note,
            }
            for each in opened
        ],
    }


def _print(report: dict[str, Any], console: Console) -> None:
    from batchata.sinks.tables import plain_table
    from batchata.sinks.wording import compact, plural, possibly_billed, usd, usd_limit

    jobs = ", ".join(f"{count:,} {name}" for name, count in report["jobs"].items() if count)
    limit = report["limit_usd"]
    cost = f"{usd(report['spent_usd'])} spent"
    if report["reserved_usd"]:
        cost += f", ≤ {usd(report['reserved_usd'])} reserved"
    if report["possibly_billed_usd"]:
        lost = possibly_billed(report["possibly_billed"], report["possibly_billed_usd"])
        cost += f", {lost}"
    if limit is not None:
        cost += f", limit {usd_limit(limit)}"
    live = {"live": f"{plural(report['live_calls'], 'call')} may be in flight"}
    batches = f"{report['batches']:,}, {len(report['in_flight']):,} in flight"
    if report["batches_unresolved"]:
        batches += f", {report['batches_unresolved']:,} unresolved"
    facts = {
        "state": report["state_file"],
        "jobs": f"{report['total']:,}: {jobs}" if jobs else "none",
        "cost": cost,
        "tokens": f"{compact(report['input_tokens'])} in, {compact(report['output_tokens'])} out",
        **(live if report["live_calls"] else {}),
        "batches": batches,
    }
    console.print(plain_table(facts))
    resume = f"batchata resume {report['state_file']}"
    waiting = report["jobs"].get("pending")
    if waiting:
        console.print(f"{plural(waiting, 'job')} not sent yet: {resume} --pending", markup=False)
    if report["in_flight"]:
        _print_in_flight(report, resume, console)


def _print_in_flight(report: dict[str, Any], resume: str, console: Console) -> None:
    from batchata.sinks.tables import batches_table

    shown, others = report["in_flight"][:_MOST_SHOWN], report["in_flight"][_MOST_SHOWN:]
    console.print(batches_table(shown))
    if others:
        console.print(f"and {len(others):,} others: all of them with --json", markup=False)
    for each in shown:
        if each["note"]:
            console.print(f"{each['batch_id'] or 'a batch'}: {each['note']}", markup=False)
    console.print(f"Collect them: {resume}", markup=False)
    if report["batches_unresolved"]:
        console.print(
            "Unresolved: the vendor may have them and could not tell yet; that command looks "
            f"again.\nSend them again, at the risk of paying twice: {resume} "
            "--on-unresolved resubmit",
            markup=False,
        )
