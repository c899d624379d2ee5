"""Small runs that between them pass every place where a run touches the world."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from batchata.gateway import HttpFault, ItemFault, Scenario, with_faults

BOTH = ("openai", "anthropic")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A script's settings, the vendors' behaviour, and what must be true at the end."""

    name: str
    vendors: tuple[str, ...] = BOTH
    jobs: int = 8
    faults: str = ""
    scenario: Scenario = field(default_factory=Scenario)
    items_per_batch: int | None = 3
    max_parallel_batches: int = 2
    result_format: str = "jsonl"
    raw_files: bool = True
    limit_usd: float | None = None
    max_tokens: int = 30
    dear: int = 0  #: jobs more that no limit has room for
    settle_seconds: float = 0.0
    timeout_seconds: float = 60.0
    time_limit_seconds: float | None = None
    on_stop: str = "detach"
    on_unresolved: str = "wait"
    route: str = "batch"
    is_twice: bool = False  #: each question is asked by two jobs, and sent once
    misfits: int = 0  #: jobs that are asked again, because their first answers do not fit
    taken_in: int | None = None  #: jobs that are written down together, while others are asked
    stalls_seconds: float = 0.0  #: for so long the script waits after its last job
    files: int = 0  #: so many files, which jobs in turn ask about
    file_bytes: int = 0  #: of the first file; each one after it is half as large
    uploads: str = "always"
    #: the number of batches is the same wherever the run is killed
    has_fixed_batches: bool = True
    #: each job ends the same way wherever the run is killed
    has_fixed_ends: bool = True

    def wire(self) -> dict[str, Any]:
        """What the script in the child needs of it."""
        plain = asdict(self)
        plain["scenario"] = None
        plain["batch"] = {
            name: plain.pop(name)
            for name in ("items_per_batch", "max_parallel_batches", "result_format")
        }
        return plain

    @property
    def script(self) -> Scenario:
        """What the sandbox plays."""
        return with_faults(self.scenario, self.faults)


#: of the jobs with a schema, those of 3 and 7, the first answer never fits
MISFITS = Scenario(
    replies={
        "Your answer cannot be used": '{"name":"Ada","age":36}',
        "question 3:": '{"name":"Ada"}',
        "question 7:": "I cannot say how old she is.",
    }
)
HALF_FAIL = Scenario(items=(ItemFault(outcome="server_error", share=0.5, attempts=1),))

PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan(name="openai", vendors=("openai",), jobs=6),
        Plan(name="anthropic", vendors=("anthropic",), jobs=6),
        Plan(name="both", jobs=10, result_format="json", max_parallel_batches=3),
        Plan(name="parquet", jobs=6, result_format="parquet", raw_files=False),
        Plan(name="waves", jobs=8, scenario=HALF_FAIL, has_fixed_batches=False),
        Plan(name="expired", jobs=8, faults="expired", has_fixed_batches=False),
        Plan(
            name="budget",
            jobs=8,
            limit_usd=0.000_4,
            max_tokens=200,
            dear=2,
            has_fixed_batches=False,
            has_fixed_ends=False,
        ),
        Plan(name="lost", jobs=8, faults="502-after-create", scenario=Scenario(foreign_batches=4)),
        Plan(
            name="late listing",
            jobs=6,
            faults="cut-after-create",
            scenario=Scenario(listing_delay_calls=1),
            settle_seconds=0.15,
        ),
        Plan(name="cut download", jobs=6, faults="truncated-download"),
        Plan(
            name="refused",
            jobs=9,
            faults="token-limit-once",
            scenario=Scenario(openai_max_requests=3, anthropic_max_requests=3),
            items_per_batch=None,
            has_fixed_batches=False,
        ),
        Plan(name="misfits", jobs=8, scenario=MISFITS, misfits=2, has_fixed_batches=False),
        Plan(
            name="live misfits",
            vendors=("anthropic",),
            route="live",
            jobs=8,
            scenario=MISFITS,
            misfits=2,
            has_fixed_batches=False,
        ),
        Plan(name="live", route="live", jobs=10, taken_in=3, has_fixed_batches=False),
        Plan(name="twins", route="live", jobs=12, is_twice=True, has_fixed_batches=False),
        Plan(name="batched twins", jobs=8, is_twice=True),
        Plan(name="uploads", jobs=8, files=3),
        Plan(
            name="lost uploads",
            jobs=6,
            files=2,
            scenario=Scenario(
                http=(
                    HttpFault(action="cut_after", route="*.files.create", times=2),
                    HttpFault(action="status", route="*.files.delete", status=500),
                )
            ),
        ),
        # the first file is large enough for two jobs together, the others go inside the requests
        Plan(name="auto uploads", jobs=10, files=3, file_bytes=550_000, uploads="auto"),
        Plan(name="live uploads", route="live", jobs=6, files=2, has_fixed_batches=False),
        Plan(
            name="background",
            vendors=("openai",),
            route="background",
            on_unresolved="resubmit",
            jobs=8,
            taken_in=3,
            scenario=Scenario(background_seconds=0.01),
            has_fixed_batches=False,
        ),
        Plan(
            name="auto",
            route="auto",
            jobs=8,
            scenario=Scenario(latency_seconds=60),
            has_fixed_batches=False,
        ),
    )
}

#: plans that every `make test` tries; the others are variations of them
FIRST = ("openai", "anthropic", "waves", "budget", "lost", "live", "auto", "uploads")
#: points of each plan that `make thorough` tries
SAMPLE: dict[str, int] = {
    "openai": 32,
    "anthropic": 28,
    "both": 20,
    "parquet": 12,
    "waves": 20,
    "expired": 12,
    "budget": 20,
    "lost": 20,
    "late listing": 12,
    "cut download": 12,
    "refused": 12,
    "misfits": 12,
    "live misfits": 6,
    "live": 12,
    "twins": 8,
    "batched twins": 6,
    "background": 10,
    "auto": 10,
    "uploads": 12,
    "lost uploads": 8,
    "live uploads": 8,
    "auto uploads": 8,
}
