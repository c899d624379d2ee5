"""`batchata demo`: a few hundred jobs through a local sandbox, without key or cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchata.cli import options
from batchata.cli.files import STATE_NAME
from batchata.cli.output import OK, SOME_FAILED, print_json, say, stdout
from batchata.core.errors import StateError, ValidationError

if TYPE_CHECKING:
    from batchata.batch import Batch
    from batchata.cli.demo_vendor import Vendor
    from batchata.run import BatchRun

LIMIT_USD = 1.0
_KEY = "sandbox"


def demo(
    folder: Annotated[
        Path, typer.Option(help="Where state and results go.", file_okay=False)
    ] = Path("batchata-demo"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over in a new folder; nothing is deleted.")
    ] = False,
    latency: Annotated[
        float, typer.Option(min=0, hidden=True, help="Seconds a batch takes.")
    ] = 4.0,
    poll_factor: options.PollFactor = 1.0,
    as_json: options.Json = False,
) -> None:
    """Run a few hundred jobs on this machine, without key or cost.

    A sandbox speaks both vendors' protocols; no model is behind it. Some of its answers are bad
    on purpose. Kill the demo at any time and run it again: it goes on where it was.

    Example: [bold]batchata demo --fresh[/bold]
    """
    place = _free_folder(folder) if fresh else folder
    vendor = _vendor(place, latency)
    batch = _batch(place, vendor, poll_factor)
    if not as_json:
        _say_hello(place)
    began = time.monotonic()
    try:
        run = batch.run(print_status=not as_json)
    except KeyboardInterrupt:
        say(f"The sandbox stays for three minutes: `{_again(place)}` goes on from here.")
        raise
    report = _report(run, vendor, place, time.monotonic() - began)
    vendor.stop()
    if as_json:
        print_json(report.to_dict(run))
    else:
        _print(report, run)
    raise typer.Exit(OK if report.is_good else SOME_FAILED)


def _free_folder(folder: Path) -> Path:
    number, found = 1, folder
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def _again(folder: Path) -> str:
    default = folder == Path("batchata-demo")
    return "batchata demo" if default else f"batchata demo --folder {folder}"


def _vendor(folder: Path, latency_seconds: float) -> Vendor:
    from batchata.cli.demo_vendor import find_vendor, start_vendor

    state = folder / STATE_NAME
    if folder.exists() and not state.exists() and any(folder.iterdir()):
        raise ValidationError(
            f"the folder {str(folder)!r} holds other files",
            hint="name another one with --folder, or write --fresh",
        )
    folder.mkdir(parents=True, exist_ok=True)
    spent, in_flight = _look(state)
    vendor = find_vendor(folder)
    if vendor is not None:
        return vendor
    if in_flight:
        raise StateError(
            f"{in_flight} batches were in flight, and the sandbox that had them has ended",
            hint="it waits three minutes; start over in a new folder: batchata demo --fresh",
        )
    return start_vendor(folder, latency_seconds, spent)


def _look(state: Path) -> tuple[Decimal, int]:
    """What the run has spent so far, and how many batches are in flight."""
    from contextlib import closing

    from batchata.stores.sqlite import SQLiteStore

    if not state.exists():
        return Decimal(0), 0
    with closing(SQLiteStore(state, read_only=True)) as store:
        found = store.load()
    return found.cost.used_usd, len(found.open_submissions())


def _batch(folder: Path, vendor: Vendor, poll_factor: float) -> Batch:
    from batchata.batch import Batch
    from batchata.cli.demo_jobs import demo_jobs

    return (
        Batch(folder, max_parallel_batches=10, items_per_batch=40)
        .set_state(folder / STATE_NAME)
        .set_provider("openai", api_key=_KEY, base_url=f"{vendor.url}/v1")
        .set_provider("anthropic", api_key=_KEY, base_url=vendor.url)
        .set_polling(poll_factor)
        .add_cost_limit(LIMIT_USD)
        .add_jobs(list(demo_jobs()))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the demo did, and what its vendor says of it."""

    folder: Path
    seconds: float
    counted_usd: Decimal  #: what the run counted since its sandbox was started
    billed_usd: Decimal  #: what the sandbox would bill
    billed_jobs: int
    billed_twice: int
    is_finished: bool

    @property
    def is_good(self) -> bool:
        """True when all jobs have ended and the bill is what was counted."""
        return self.is_finished and not self.billed_twice and self.counted_usd == self.billed_usd

    def to_dict(self, run: BatchRun) -> dict[str, Any]:
        """The report as JSON-ready values."""
        from batchata.sinks.summary import summarize

        return {
            "status": run.status(),
            **summarize(run.results().iter_all()).to_dict(),
            "folder": str(self.folder),
            "seconds": self.seconds,
            "counted_usd": self.counted_usd,
            "billed_usd": self.billed_usd,
            "billed_jobs": self.billed_jobs,
            "billed_twice": self.billed_twice,
        }


def _report(run: BatchRun, vendor: Vendor, folder: Path, seconds: float) -> Report:
    from batchata.core.usage import Usage
    from batchata.prices import GenaiPriceBook

    ledger, prices = vendor.ledger(), GenaiPriceBook()
    billed = sum(
        (
            prices.card(each.vendor, each.model, "batch").cost_usd(
                Usage(each.input_tokens, each.output_tokens, each.cached_tokens)
            )
            for each in ledger.items
        ),
        Decimal(0),
    )
    return Report(
        folder=folder,
        seconds=seconds,
        counted_usd=run.view.spent_usd - vendor.spent_before_usd,
        billed_usd=billed,
        billed_jobs=ledger.billed_items,
        billed_twice=sum(each.attempt > 1 for each in ledger.items),
        is_finished=run.is_complete,
    )


def _say_hello(folder: Path) -> None:
    say(
        "320 jobs for two vendors, played by a sandbox on this machine: no key, no cost, no model."
        "\nSome answers are bad on purpose. Kill this at any time, with Ctrl-C or kill -9, and run"
        f"\n`{_again(folder)}`: it goes on from {folder / STATE_NAME} and asks nothing twice.\n"
    )


def _print(report: Report, run: BatchRun) -> None:
    from batchata.sinks.summary import summarize
    from batchata.sinks.tables import plain_table, print_summary
    from batchata.sinks.wording import usd, usd_limit

    console = stdout()
    summary = summarize(run.results().iter_all())
    print_summary(summary, console, has_samples=True)
    same = "the same" if report.counted_usd == report.billed_usd else "NOT the same"
    facts = {
        "took": f"{report.seconds:.1f} s; {summary.retried} jobs met a server error and went again",
        "counted": f"{usd(report.counted_usd)} of at most {usd_limit(Decimal(str(LIMIT_USD)))}",
        "billed": f"{usd(report.billed_usd)} for {report.billed_jobs} answers, by the sandbox's "
        f"own ledger: {same}; {report.billed_twice or 'none'} billed twice",
        "results": f"{report.folder}/*.json, one file a job",
        "raw files": f"{report.folder}/raw_files, what went to the vendors and came back",
        "state": f"{report.folder / STATE_NAME}",
        "look at it": f"batchata results {report.folder}",
        "start over": "batchata demo --fresh",
    }
    console.print(plain_table(facts))
