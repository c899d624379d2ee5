"""Runs a generation, from its config to its output file."""

from __future__ import annotations

import logging
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from batchata.core.errors import ConfigChangedError, RunError, ValidationError
from batchata.core.usage import from_parts
from batchata.generate.asking import Asker
from batchata.generate.checking import Check, Preview, list_models, preview, validate
from batchata.generate.config import Config
from batchata.generate.identity import difference, fingerprint, identity_of
from batchata.generate.ledger import Ledger
from batchata.generate.log_file import RECORD, logged
from batchata.generate.metrics import Summary, summary_of
from batchata.generate.parts import PartWriter, about, join_parts, summary_path, write_summary
from batchata.generate.selection import checked_span, shuffled_copy
from batchata.generate.shard_run import Plan, check_price, money_in, selection_of
from batchata.generate.sources import digest_of
from batchata.generate.supervisor import Supervisor, Watch, run_here
from batchata.sdk.driver import Terminated
from batchata.stores.lock import RunLock

log = logging.getLogger("batchata.generate")
record = logging.getLogger(RECORD)

LEDGER = "ledger.db"


@dataclass(slots=True)
class GenerationPipeline:
    """Answers the rows of a file as its config says; run again, it resumes where it stopped.

    Raises ValidationError, before anything is sent, for a config or rows that cannot be used.
    """

    config: Config

    def run(self, *, fresh: bool = False, watch: Watch | None = None) -> Summary:
        """Answer every row and write the output; rows that have an answer are not asked again.

        With `fresh` an earlier output and unfinished work are kept under other names, and every
        row is asked again. Raises RunError when a stop left rows without an answer,
        KeyboardInterrupt after a Ctrl-C, and whatever stopped the run.
        """
        with logged(self.config.logging):
            return self._run(fresh, watch)

    def preview(self, *, counts_all: bool = False) -> Preview:
        """What would be sent, without sending or writing it; with `counts_all` also how much."""
        return preview(self.config, counts_all=counts_all)

    def validate(self, *, sends_one: bool = True) -> list[Check]:
        """Check rows, output, servers and one answer; if a check fails, it is the last one."""
        return list(validate(self.config, sends_one=sends_one))

    def list_models(self) -> dict[str, list[str]]:
        """Names of the models of each server."""
        return list_models(self.config.model)

    def _run(self, fresh: bool, watch: Watch | None) -> Summary:
        began = time.monotonic()
        config, output = self.config, self.config.output_path
        if fresh:
            _set_work_aside(config.work_dir)
            _set_aside(output)
            _set_aside(summary_path(output))
        elif output.exists() and not (config.work_dir / LEDGER).exists():
            return self._finished(output)
        _check_folder(output.parent)
        folder = config.work_dir
        shutil.rmtree(_done(folder), ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with _locked(folder / LEDGER) as ledger:
                return self._go_on(ledger, folder, began, watch)
        except Terminated:
            log.warning(
                "stopped by SIGTERM; the same command resumes: no answer is asked for again"
            )
            signal.raise_signal(signal.SIGTERM)
            raise
        finally:
            _tidy(folder)

    def _go_on(self, ledger: Ledger, folder: Path, began: float, watch: Watch | None) -> Summary:
        plan, output = self._plan(ledger, folder), self.config.output_path
        if output.exists() and not ledger.meta("joining"):
            raise _foreign(output)  # it is not ours to replace
        if not ledger.open_shards() and ledger.reopen_failed():
            log.info("asking again what failed")
        elif ledger.meta("is_whole") and output.exists() and not ledger.open_shards():
            self._clear(folder, ledger)
            return self._finished(output)
        ledger.free_all(lambda state, most: money_in(folder / state, most))
        if ledger.open_shards():
            ledger.set_meta(is_whole=False)
            start, stop = ledger.meta("span")
            record.info(
                "%d rows of %s for %s", stop - start, self.config.data.input_path, plan.model
            )
            supervisor = Supervisor(self.config, plan, folder, ledger)
            supervisor.run(watch)
        if ledger.open_shards():
            raise RunError(
                f"stopped with {ledger.open_shards()} parts to go",
                hint="the same command resumes: nothing already answered is asked again",
            )
        return self._complete(ledger, folder, plan, began)

    def _finished(self, output: Path) -> Summary:
        """The summary of a complete output; ValidationError for the output of something else."""
        said = about(output)
        if said is None:
            raise _foreign(output)
        self._check_same(said["identity"], self.config.model.name or said["model"])
        return Summary.of(said)

    def _check_same(self, old: dict[str, Any], model: str, digest: str | None = None) -> None:
        path = self.config.data.input_path
        if not path.exists():
            raise ValidationError(f"there is no file {str(path)!r}", hint="see data.input_path")
        new = identity_of(self.config, model, digest or digest_of(path))
        if new != old:
            raise ConfigChangedError(
                f"{self.config.output_path.name} was begun differently: {difference(old, new)}",
                hint="undo that, name another output, or give --fresh, which keeps existing files",
            )

    def _plan(self, ledger: Ledger, folder: Path) -> Plan:
        """The plan in the ledger, or a new one, recorded there."""
        config = self.config
        stat = config.data.input_path.stat() if config.data.input_path.exists() else None
        seen = [stat.st_size, stat.st_mtime_ns] if stat is not None else None
        known = ledger.meta("plan")
        if known is not None:
            plan = msgspec.convert(known, Plan)
            old = ledger.meta("identity")
            is_same_file = seen is not None and seen == ledger.meta("seen")
            digest = old["the input file"] if is_same_file else None
            self._check_same(old, config.model.name or plan.model, digest)
            return plan
        selection = selection_of(config, None, None)
        span = checked_span(selection.rows, config.processing.split)
        Asker(config, config.model.name or "a model").check(selection.file.schema)
        PartWriter(config, selection.file.schema)
        model = run_here(config.model, lambda servers: servers.choose_model())
        check_price(config, model)
        plan = Plan(
            model=model,
            index=selection.file.index,
            counts=selection.counts,
            rows=selection.rows,
        )
        if config.data.shuffle:
            shuffled_copy(selection, config.data.shuffle_seed, folder / "shuffled.parquet")
        digest = digest_of(config.data.input_path)
        meta = {
            "plan": msgspec.to_builtins(plan),
            "identity": identity_of(config, plan.model, digest),
            "seen": seen,
            "span": [span.start, span.stop],
        }
        ledger.plan(meta, span.shards(config.processing.rows_of_shard))
        return plan

    def _complete(self, ledger: Ledger, folder: Path, plan: Plan, began: float) -> Summary:
        config, output = self.config, self.config.output_path
        identity = ledger.meta("identity")
        start, stop = ledger.meta("span")
        tally = ledger.tally()
        said = {
            "fingerprint": fingerprint(identity),
            "identity": identity,
            "model": plan.model,
            "split": config.processing.split,
            "span": [start, stop],
            "rows_in_all": plan.rows,
            "failed": tally.failed,
        }
        parts = [folder / str(name) for name in ledger.parts()]
        if not parts:  # a split without rows still gets a file with the columns
            PartWriter(config, _schema(config, plan)).write_empty(folder / "empty.parquet")
            parts = [folder / "empty.parquet"]
        summary = summary_of(
            tally,
            rows=stop - start,
            seconds=time.monotonic() - began,
            reports=ledger.reports(),
            cost_usd=from_parts(tally.cost),
            model=plan.model,
            output=output,
        )
        said.update(summary.to_dict())
        if output.exists() and not ledger.meta("joining"):
            raise _foreign(output)  # it appeared during the run
        ledger.set_meta(joining=True)  # from now on the output is ours to replace
        join_parts(parts, output, said)
        write_summary(output, said)
        ledger.set_meta(is_whole=True)
        self._clear(folder, ledger)
        _tell(summary)
        return summary

    def _clear(self, folder: Path, ledger: Ledger) -> None:
        """Remove the work behind a complete output; failed rows are kept, to be asked again."""
        if self.config.processing.cleanup_batches and not ledger.tally().failed:
            # so that a ledger without its parts, or half of one, is never found under its name
            shutil.rmtree(folder.rename(_done(folder)))


def _tell(summary: Summary) -> None:
    whole, failed = summary.total_responses, summary.failed
    record.info(
        "%d of %d answers in %g s: %s",
        whole - failed,
        whole,
        summary.processing_time,
        summary.output,
    )
    if failed:
        record.info("%d failed, the first one: %s", failed, summary.first_error)


def _done(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.done")


def _foreign(output: Path) -> ValidationError:
    return ValidationError(
        f"{output} exists already, and is not an output of this generation",
        hint="name another data.output_path, or give --fresh, which keeps it under another name",
    )


def _schema(config: Config, plan: Plan) -> Any:
    return selection_of(config, plan.index, plan.counts).file.schema


def _check_folder(folder: Path) -> None:
    if not folder.absolute().is_dir():
        raise ValidationError(
            f"the folder of the output, {str(folder)!r}, does not exist",
            hint=f"mkdir -p {folder}",
        )


@contextmanager
def _locked(path: Path) -> Iterator[Ledger]:
    """The ledger, locked for this process and the ones it starts."""
    lock = RunLock(path)
    lock.acquire()
    is_begun = True
    try:
        with Ledger(path) as ledger:
            try:
                yield ledger
            finally:
                is_begun = ledger.meta("plan") is not None
    finally:
        if not is_begun:
            path.unlink()
        lock.release()


def _set_aside(path: Path) -> None:
    """Rename an existing file to the next free `name.N`, so that nothing is lost."""
    if not path.exists():
        return
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(aside)
    log.warning("%s is kept as %s", path, aside)


def _set_work_aside(folder: Path) -> None:
    """Rename unfinished work; StateLockedError when another process is working on it."""
    if folder.exists():
        lock = RunLock(folder / LEDGER)
        lock.acquire()
        try:
            _set_aside(folder)
        finally:
            lock.release()


def _tidy(folder: Path) -> None:
    """Remove our own folders if they are empty."""
    for each in (folder, folder.parent):
        is_ours = each is folder or each.name == "temp"
        if is_ours and each.is_dir() and not any(each.iterdir()):
            each.rmdir()
