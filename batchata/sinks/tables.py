"""Tables for people: what a run would cost, and how it went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from batchata.core.estimate import Estimate, ModelEstimate
from batchata.core.model_code import plain
from batchata.core.pilot import PilotReport
from batchata.core.result import JobResult
from batchata.sinks.summary import ModelSum, ReasonSum, Summary
from batchata.sinks.wording import compact, plural, usd, usd_limit

_BAD_SHOWN: Final = 5
_ID_SHOWN: Final = 20
_ANSWER_SHOWN: Final = 200
_STYLES: Final = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "skipped": "yellow"}


def print_estimate(estimate: Estimate, console: Console | None = None) -> None:
    """Print what a run would send and cost, by model and in total."""
    console = console or Console(highlight=False)
    live = (">if all live",) if estimate.expected_live_usd is not None else ()
    table = _table(
        "~provider", "~model", ">jobs", ">batches", ">upload", ">expected", *live, ">at most"
    )
    for each in estimate.models:
        table.add_row(each.provider, each.model, *_numbers(each, is_exact=each.is_exact))
    if len(estimate.models) > 1:
        table.add_section()
        exact = all(each.is_exact for each in estimate.models)
        table.add_row("all", "", *_numbers(estimate, is_exact=exact), style="bold")
    if estimate.models:
        console.print(table)
    for line in _remarks(estimate):
        console.print(Text(line))


def _numbers(each: Estimate | ModelEstimate, *, is_exact: bool) -> tuple[str, ...]:
    about = "" if is_exact else "≈ "
    return (
        f"{each.jobs:,}",
        f"{each.chunks:,}",
        size(each.size_bytes),
        about + usd(each.expected_usd),
        *(() if each.expected_live_usd is None else (about + usd(each.expected_live_usd),)),
        about + usd(each.worst_case_usd),
    )


def _not_sent(estimate: Estimate) -> Iterable[str]:
    if not estimate.jobs:
        yield "Nothing would be sent."
    if estimate.done:
        yield f"{plural(estimate.done, 'job')} answered or in flight already: not sent again."
    if estimate.cached:
        yield f"{plural(estimate.cached, 'job')} answered in the cache: nothing is paid for them."
    if estimate.shared:
        yield f"{plural(estimate.shared, 'job')} asking what another asks: given its answer."


def _remarks(estimate: Estimate) -> Iterable[str]:
    yield from _not_sent(estimate)
    if estimate.uploads:
        files, volume = plural(estimate.uploads, "file"), size(estimate.upload_bytes)
        yield f"{files} uploaded beside the requests, {volume} in all."
    limit = estimate.limit_usd
    if limit is not None and estimate.worst_case_usd > limit:
        yield f"The limit of {usd_limit(limit)} may be reached before all jobs are sent."
    if not all(each.is_exact for each in estimate.models):
        yield "≈ rests on a price that is not known exactly."
    if estimate.bad:
        yield f"{plural(len(estimate.bad), 'job')} cannot be sent:"
        for line in estimate.bad[:_BAD_SHOWN]:
            yield f"  {line}"
        if len(estimate.bad) > _BAD_SHOWN:
            yield f"  and {len(estimate.bad) - _BAD_SHOWN:,} more"


def print_pilot(report: PilotReport, console: Console) -> None:
    """Print what a sample showed: failures, a few answers, and the bill to come."""
    margin = 100 * report.failure_rate_plus_minus
    why = ", ".join(f"{reason}: {jobs:,}" for reason, jobs in report.reasons.items())
    facts = {
        "pilot": f"{plural(report.jobs, 'job')} for {usd(report.cost_usd)}",
        "failed": f"{report.failed:,}, {100 * report.failure_rate:.0f} % ± {margin:.0f}"
        + (f" ({why})" if why else ""),
        "to come": f"{plural(report.left, 'job')} for about {usd(report.expected_usd)}"
        f" ± {usd(report.expected_plus_minus_usd)}",
    }
    for number, answer in enumerate(report.answers, 1):
        facts[f"answer {number}"] = _shortened(answer)
    console.print(plain_table(facts))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _ANSWER_SHOWN else f"{line[: _ANSWER_SHOWN - 1]}…"


def print_summary(summary: Summary, console: Console, *, has_samples: bool = False) -> None:
    """Print jobs by model, failures by reason and, if asked for, a few answers."""
    tables = []
    if summary.models:
        tables.append(models_table(list(summary.models.values())))
    if summary.reasons:
        tables.append(reasons_table(list(summary.reasons.values())))
    if has_samples and summary.samples:
        tables.append(samples_table(summary.samples))
    for table in tables:
        console.print()
        console.print(table)
    console.print()


def models_table(models: Sequence[ModelSum]) -> Table:
    """Jobs, tokens and cost by model."""
    has_other = any(each.other for each in models)
    other = [">other"] if has_other else []
    table = _table(
        "~provider", "~model", ">jobs", ">succeeded", ">failed", *other, ">in", ">out", ">cost"
    )
    total = ModelSum("all", "")
    for each in models:
        table.add_row(*_model_row(each, has_other=has_other))
        for name in ("jobs", "succeeded", "failed", "other", "input_tokens", "output_tokens"):
            setattr(total, name, getattr(total, name) + getattr(each, name))
        total.cost_usd += each.cost_usd
    if len(models) > 1:
        table.add_section()
        table.add_row(*_model_row(total, has_other=has_other), style="bold")
    return table


def _model_row(each: ModelSum, *, has_other: bool) -> list[str | Text]:
    return [
        each.provider,
        each.model,
        f"{each.jobs:,}",
        _count(each.succeeded, "green"),
        _count(each.failed, "red"),
        *([_count(each.other, "yellow")] if has_other else []),
        compact(each.input_tokens),
        compact(each.output_tokens),
        usd(each.cost_usd),
    ]


def reasons_table(reasons: Sequence[ReasonSum]) -> Table:
    """What did not succeed, by reason, the most frequent first."""
    table = _table("not succeeded", "reason", ">jobs", "*for example")
    for each in sorted(reasons, key=lambda reason: -reason.jobs):
        status = Text(each.status, _STYLES.get(each.status, "yellow"))
        table.add_row(status, each.reason or "—", f"{each.jobs:,}", Text(_line(each.example)))
    return table


def samples_table(samples: Sequence[JobResult]) -> Table:
    """A few answers."""
    table = _table("model", "*answer")
    for each in samples:
        table.add_row(each.model, Text(answer(each)))
    return table


def results_table(results: Iterable[JobResult]) -> Table:
    """A row per job."""
    table = _table("job", "model", "status", ">in", ">out", ">cost", "*answer or reason")
    table.columns[0].max_width = _ID_SHOWN
    for each in results:
        said = answer(each) if each.is_success else f"{each.reason or '—'}: {_line(each.error)}"
        table.add_row(
            each.job_id,
            each.model,
            Text(each.status.value, _STYLES.get(each.status.value, "cyan")),
            compact(each.input_tokens),
            compact(each.output_tokens),
            usd(each.cost_usd),
            Text(said),
        )
    return table


def batches_table(batches: Iterable[Mapping[str, Any]]) -> Table:
    """Batches that a vendor has or may have."""
    table = _table("provider", "model", ">jobs", "status", "since", "*batch")
    for each in batches:
        since = each["since"]
        table.add_row(
            each["provider"],
            each["model"],
            f"{each['jobs']:,}",
            each["status"],
            f"{since:%Y-%m-%d %H:%M:%S} UTC" if since else "—",
            each["batch_id"] or "(no id yet)",
        )
    return table


def plain_table(facts: Mapping[str, str]) -> Table:
    """Names and values, one below the other."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, Text(value))
    return table


def prices_table(models: Iterable[Mapping[str, Any]]) -> Table:
    """Prices of models, in USD per million tokens."""
    table = _table(
        "~provider",
        "~model",
        ">input",
        ">output",
        ">cache\nread",
        ">batch\ninput",
        ">batch\noutput",
    )
    names = ("input", "output", "cache_read", "batch_input", "batch_output")
    for each in models:
        table.add_row(each["provider"], each["model"], *(_price(each[name]) for name in names))
    return table


def _price(value: float | None) -> str:
    return "—" if value is None else f"{value:,.4g}"


def answer(result: JobResult) -> str:
    """An answer in one line: its fields, its text, or what else it contains."""
    parsed: Any = plain(result.parsed_response)
    if isinstance(parsed, dict):
        return _line(", ".join(f"{name}: {value}" for name, value in parsed.items()))
    if result.raw_response:
        return _line(result.raw_response)
    return f"({', '.join(result.extra)})" if result.extra else "(empty)"


def size(number: int) -> str:
    """A number of bytes for people to read."""
    value, unit = float(number), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{number} B" if unit == "B" else f"{value:.1f} {unit}"


def _table(*names: str) -> Table:
    """A plain table: names of number columns begin with ">", of one that takes the rest with "*".

    Those that begin with "~" are wrapped when they do not fit: a cut number would be wrong.
    """
    is_wide = any(name.startswith("*") for name in names)
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False, expand=is_wide
    )
    for name in names:
        table.add_column(
            name.lstrip(">*~"),
            justify="right" if name.startswith(">") else "left",
            ratio=1 if name.startswith("*") else None,
            no_wrap=not name.startswith("~"),
            overflow="fold" if name.startswith("~") else "ellipsis",
        )
    return table


def _count(number: int, style: str) -> Text:
    return Text(f"{number:,}", style if number else "dim")


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
