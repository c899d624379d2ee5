"""The folder of one batch job of a table: what was asked, what came back, and the run between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from batchata.batch import Batch
from batchata.core.config import RunConfig
from batchata.core.errors import RunError, ValidationError
from batchata.core.job import Job, safe_name
from batchata.core.progress import RunView
from batchata.core.result import PAID_FAILURES
from batchata.core.status import JobStatus
from batchata.core.template import text_of
from batchata.frames.asking import Asking
from batchata.frames.extraction import keyed
from batchata.frames.output import columns_of, unasked
from batchata.frames.packs import TEXT, Row, RowAnswer, pack, unpack_result, with_raw
from batchata.frames.plans import Plan, path_of, read_plans
from batchata.frames.schema import ID
from batchata.providers.registry import create_provider
from batchata.rows.table import Table, table_of
from batchata.run import BatchRun
from batchata.sdk.results import Results

_LOOK_SECONDS: Final = 0.05
#: states of a submission before the vendor was polled about it, and when its answers are due
_UNSEEN: Final = frozenset({"intended", "creating", "accepted"})
_DUE: Final = frozenset({"completed", "expired", "failed", "cancelled"})

#: (custom id, endpoint, body) → one request as it stands in the file
Line = Callable[[str, str, bytes], bytes]


@dataclass(slots=True)
class Ended:
    """How the rows of all plans ended so far, by key."""

    answers: dict[str, RowAnswer] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)  #: custom ids that the run has heard of
    busy: set[str] = field(default_factory=set)  #: keys of rows that are sent or to be sent


class BatchFolder:
    """One folder: `batch_input` to read before paying, `state.db`, `batch_output`."""

    def __init__(self, root: str | Path, job_id: str) -> None:
        if not isinstance(job_id, str) or safe_name(job_id) != job_id:
            raise ValidationError(
                f"job_id is {job_id!r}", hint="use letters, digits, - and _, at most 64"
            )
        self.job_id = job_id
        self.path = Path(root) / job_id
        self.input = self.path / "batch_input"
        self.state = self.path / "state.db"

    def start_plan(self, asking: Asking) -> tuple[Plan, Ended]:
        """A new plan and what is known; plans of which nothing was sent make room for it."""
        self.input.mkdir(parents=True, exist_ok=True)
        plans = list(read_plans(self.input))
        ended = self.ended(plans)
        while plans and ended.known.isdisjoint(plans[-1].requests):
            last = plans.pop()
            path_of(self.input, last.number).unlink()
            for name in last.files:
                (self.input / name).unlink(missing_ok=True)
        schema = asking.schema
        said = None if schema is None else schema.response_format or schema.whole
        return Plan(number=len(plans) + 1, asking=asking, schema=said), ended

    def plan_rows(
        self, plan: Plan, table: Table, id_col: str, text_col: str, done: set[str]
    ) -> list[Row]:
        """Put every row of a table into the plan; those that must be asked."""
        names = (id_col, text_col)
        kept = list(table.tuples(names))
        missing = [unasked(row, names) for row in kept]
        askable = (
            (number, str(row_id), text_of(text))
            for number, (row_id, text) in enumerate(kept)
            if missing[number] is None
        )
        rows = {row.number: row for row in keyed(plan.asking, askable)}
        for number, (row_id, _) in enumerate(kept):
            plan.add_row(row_id, rows.get(number), missing[number])
        return [
            row._replace(text=text_of(kept[row.number][1]))
            for row in rows.values()
            if row.key.hex() not in done
        ]

    def write(
        self, plan: Plan, name: str, packs: Iterable[tuple[str, Sequence[Row]]], line: Line
    ) -> Iterator[bytes]:
        """The requests of a plan in the vendor's words, for a file of this name."""
        codec = create_provider(plan.asking.provider).codec
        plan.files.append(name)
        for custom_id, rows in packs:
            plan.note(custom_id, rows)
            encoded = codec.encode(plan.asking.job(custom_id, rows), plan.asking.model)
            yield line(custom_id, encoded.shape.endpoint, encoded.body)

    def packs(
        self, rows: Sequence[Row], ended: Ended, rows_per_request: int
    ) -> Iterator[list[Row]]:
        """The rows in packs; those whose answers were no good before are asked alone."""
        failed = [row for row in rows if row.key.hex() in ended.answers]
        fresh = [row for row in rows if row.key.hex() not in ended.answers]
        yield from pack(fresh, rows_per_request)
        yield from pack(failed, 1)

    def run(self, batch: Batch) -> BatchRun:
        """A run that sends the newest plan, and whatever was sent before goes on."""
        plans = list(read_plans(self.input))
        if not plans:
            raise FileNotFoundError(f"{self.input} holds no requests: create them first")
        if not plans[-1].requests:
            return self.attach(batch, sends=False)
        config = self._with_advice(batch.set_state(self.state).config)
        return BatchRun(config, self._jobs(plans[-1]), providers=batch.providers)

    def attach(self, batch: Batch, *, sends: bool) -> BatchRun:
        """A run that only goes on with what was sent."""
        if not self.state.exists():
            raise FileNotFoundError(f"{self.state} is not there: submit {self.job_id!r} first")
        return BatchRun.attach(
            self.state,
            config=self._with_advice(batch.config),
            providers=batch.providers,
            send_pending=sends,
        )

    def _with_advice(self, config: RunConfig) -> RunConfig:
        return replace(config, go_on=self._go_on)

    @property
    def _go_on(self) -> str:
        return f"call check_batch_status({self.job_id!r}, continuous=True)"

    def _jobs(self, plan: Plan) -> Iterator[Job]:
        codec = create_provider(plan.asking.provider).codec
        for name in plan.files:
            for custom_id, body in requests_of(self.input / name):
                rows = _rows_asked(plan, custom_id, body)
                job = plan.asking.job(custom_id, rows)
                if orjson.loads(codec.encode(job, plan.asking.model).body) != body:
                    raise ValidationError(
                        f"request {custom_id!r} of {self.input / name} was changed by hand",
                        hint="build the requests anew from a changed table, prompt or schema",
                    )
                yield job

    def ended(self, plans: Sequence[Plan]) -> Ended:
        """How the rows of these plans ended; a good answer stays, whatever comes after it."""
        found = Ended()
        if not self.state.exists():
            return found
        plan_of = {name: plan for plan in plans for name in plan.requests}
        unfinished = f"it is not finished: {self._go_on}"
        for result in Results(self.state).iter_all():
            found.known.add(result.job_id)
            plan = plan_of.get(result.job_id)
            if plan is None:
                continue
            rows = plan.request_rows(result.job_id)
            error = result.error or "there is no answer"
            if not result.status.is_final:
                found.busy.update(row.key.hex() for row in rows)
                error = unfinished
            if result.is_success or result.reason in PAID_FAILURES:
                unpacked = unpack_result(rows, result, plan.asking.problem)
                bad = [(row, with_raw(why, result)) for row, why in unpacked.bad]
                for row, fields in unpacked.good:
                    found.answers[row.key.hex()] = RowAnswer("succeeded", fields)
            else:
                bad = [(row, error) for row in rows]
            status = "failed" if result.is_success else str(result.status)
            _add_bad(found, bad, status)
        return found

    def answers(self) -> Any:
        """The newest plan's rows with their answers, as a table; None before anything was sent."""
        plans = list(read_plans(self.input))
        if not plans or not self.state.exists():
            return None
        ended, plan = self.ended(plans), plans[-1]
        unsent = RowAnswer(JobStatus.PENDING.value, None, "it was not sent")
        rows = [
            RowAnswer("failed", None, error) if key is None else ended.answers.get(key, unsent)
            for _, key, error in plan.rows
        ]
        ids = {ID: [row_id for row_id, _, _ in plan.rows]}
        return table_of(ids).with_columns(*columns_of(rows, plan.asking.schema))


def _add_bad(found: Ended, bad: Sequence[tuple[Row, str]], status: str) -> None:
    for row, why in bad:
        known = found.answers.get(row.key.hex())
        if known is None or known.fields is None:
            found.answers[row.key.hex()] = RowAnswer(status, None, why)


def requests_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Custom ids and bodies of a file of requests, of either vendor."""
    if path.suffix == ".jsonl":
        with path.open("rb") as file:
            for line in file:
                request = orjson.loads(line)
                yield request["custom_id"], request["body"]
        return
    for request in orjson.loads(path.read_bytes())["requests"]:
        yield request["custom_id"], request["params"]


def _rows_asked(plan: Plan, custom_id: str, body: dict[str, Any]) -> list[Row]:
    """The rows of a request with their texts, which stand only in the request."""
    shown = orjson.loads(body["messages"][-1]["content"])
    rows = plan.request_rows(custom_id)
    texts = {each[ID]: each[TEXT] for each in shown}
    return [row._replace(text=texts.get(row.id, "")) for row in rows]


def wait_until_sent(run: BatchRun) -> None:
    """Wait until every request is at the vendor, then let go of the run."""
    _leave(run, _is_sent, "stop: all is sent")


def wait_for_a_look(run: BatchRun) -> None:
    """Wait until the vendor was asked once about every batch, and what is done was fetched."""
    _leave(run, _is_seen, "stop: looked once")


def _leave(run: BatchRun, is_time: Callable[[RunView], bool], reason: str) -> None:
    while not run.wait(_LOOK_SECONDS):
        with contextlib.suppress(RunError):  # it has only just begun
            view = run.view
            if not view.is_taking_in and is_time(view):
                run.stop(reason)
                run.shutdown()


def _is_sent(view: RunView) -> bool:
    return not view.pending and all(each.batch_id or each.is_finished for each in view.active)


def _is_seen(view: RunView) -> bool:
    states = {each.state for each in view.active if not each.is_finished}
    return not states & (_UNSEEN | _DUE)
