"""What is promised of every run, however often it was killed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchata.gateway import Ledger

if TYPE_CHECKING:
    from kill_arena import Baseline, Outcome


def broken(
    baseline: Baseline,
    folder: Path,
    outcome: Outcome,
    ledger: Ledger,
    billed_usd: Decimal,
    files: list[dict[str, Any]],
) -> Iterator[str]:
    """Each promise that was not kept, in a sentence."""
    report = outcome.report
    if "results" not in report or "error" in report:
        yield f"the run did not end well: {outcome.answer} {report.get('trace')}"
        return
    yield from report["violations"]
    yield from _jobs(baseline, outcome)
    yield from _bill(baseline, outcome, ledger, billed_usd)
    yield from _files(outcome, folder, baseline.plan.result_format)
    yield from _raw(baseline, folder, ledger, files)
    if baseline.plan.raw_files and baseline.plan.route in ("live", "background"):
        yield from _raw_calls(outcome, folder / "out" / "raw_files" / "responses")
    if Decimal(report["status"]["reserved_usd"]):
        yield f"{report['status']['reserved_usd']} USD are still reserved"


def _jobs(baseline: Baseline, outcome: Outcome) -> Iterator[str]:
    ids = Counter(row[0] for row in outcome.report["results"])
    for job_id, count in ids.items():
        if count > 1:
            yield f"{job_id} is {count} times in results()"
    if set(ids) != set(baseline.outcome.results):
        yield f"results() has {sorted(ids)}"
    if not baseline.plan.has_fixed_ends:
        return
    for job_id, end in baseline.ends.items():
        row = outcome.results.get(job_id)
        if row is not None and row[1:5] != end:
            yield f"{job_id} ended as {row[1:]}, undisturbed as {end}"


def _bill(
    baseline: Baseline, outcome: Outcome, ledger: Ledger, billed_usd: Decimal
) -> Iterator[str]:
    billed = Counter((item.vendor, item.content) for item in ledger.items)
    for (vendor, content), count in billed.items():
        if count > 1:
            names = [item.custom_id for item in ledger.items if item.content == content]
            yield f"{vendor} billed {names} {count} times"
    calls = Counter((call.vendor, call.content) for call in ledger.live)
    again = sum(calls.values()) - len(calls)
    if again > int(outcome.report["status"]["possibly_billed"]):
        yield f"{again} live answers were billed again, of which status() does not tell"
    asked = {*billed, *calls}
    # a job that was given another's answer has no attempt of its own
    succeeded = sum(row[1] == "succeeded" and row[6] > 0 for row in outcome.results.values())
    if succeeded + baseline.plan.misfits != len(asked):
        yield f"{succeeded} jobs succeeded and {len(asked)} questions were billed"
    told = sum((Decimal(row[2]) for row in outcome.results.values()), Decimal(0))
    if told != Decimal(outcome.report["status"]["cost_usd"]):
        yield f"results() cost {told}, status() says {outcome.report['status']['cost_usd']}"
    # a live call that was cut off may have been billed, and is counted apart
    if not told <= billed_usd <= told + _uncertain_usd(outcome):
        yield f"results() cost {told}, the vendors bill {billed_usd}"
    made = Counter(batch.vendor for batch in ledger.batches)
    if baseline.plan.has_fixed_batches and made != baseline.batches:
        yield f"{dict(made)} batches were created, not {dict(baseline.batches)}"


def _uncertain_usd(outcome: Outcome) -> Decimal:
    return Decimal(outcome.report["uncertain"]).scaleb(-12)


def _files(outcome: Outcome, folder: Path, result_format: str) -> Iterator[str]:
    out = folder / "out"
    expected = {job_id: row[1] for job_id, row in outcome.results.items()}
    found: list[tuple[str, str]] = []
    if result_format == "json":
        paths = sorted(path for path in out.iterdir() if path.is_file())
        strange = [path.name for path in paths if path.suffix != ".json"]
        if strange:
            yield f"strange files in the results folder: {strange}"
        found = [_named(json.loads(p.read_bytes())) for p in paths if p.suffix == ".json"]
    elif result_format == "jsonl":
        lines = (out / "results.jsonl").read_bytes().split(b"\n")
        found = [_named(json.loads(line)) for line in lines if line]
    else:
        import pyarrow.parquet

        for path in sorted(out.glob("*.parquet")):
            found += [_named(row) for row in pyarrow.parquet.read_table(path).to_pylist()]
    if sorted(found) != sorted(expected.items()):
        counts = Counter(found)
        extra = {name: count for name, count in counts.items() if count > 1}
        missing = sorted(set(expected.items()) - set(counts))
        yield f"the results folder lacks {missing}, repeats {extra}, has {len(found)} results"


def _named(result: dict[str, Any]) -> tuple[str, str]:
    return result["job_id"], result["status"]


def _raw(
    baseline: Baseline, folder: Path, ledger: Ledger, files: list[dict[str, Any]]
) -> Iterator[str]:
    used = {batch.input_file_id for batch in ledger.batches}
    orphans = [file["filename"] for file in files if file["id"] not in used]
    if orphans:
        yield f"uploaded files without a batch: {orphans}"
    parts = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.part"))]
    if parts:
        yield f"left over: {parts}"
    for name in ("state.db-wal", "state.db-shm", "state.db.lock", "state.db.work"):
        if (folder / name).exists():
            yield f"{name} is still there"
    if not baseline.plan.raw_files:
        return
    requests = folder / "out" / "raw_files" / "requests"
    found = requests.iterdir() if requests.exists() else ()
    names = sorted(path.stem for path in found if not path.stem.startswith("live_"))
    wanted = sorted(f"{batch.vendor}_batch_{batch.id}" for batch in ledger.batches)
    if names != wanted:
        yield f"request files are {names}, not {wanted}"


def _raw_calls(outcome: Outcome, folder: Path) -> Iterator[str]:
    answered: set[str] = set()
    for path in folder.glob("live_*.jsonl"):
        *lines, torn = path.read_bytes().split(b"\n")
        del torn  # the process was killed in the middle of it
        told = (each for each in map(json.loads, lines) if "body" in each)
        # what was only begun in the background is no answer
        answered.update(each["job_id"] for each in told if each["body"].get("status") != "queued")
    asked = {row[0] for row in outcome.results.values() if row[1] == "succeeded" and row[6]}
    if not asked <= answered:
        yield f"no raw answer of {sorted(asked - answered)}"
