"""Many random runs, each disturbed and killed many times: `make soak ARGS="--cycles 1000"`.

Every cycle is made from its own seed, which is printed when a promise is broken:
`make soak ARGS="--seed SEED --cycles 1"` plays it again. Talks to 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "kill"))

from kill_arena import Arena, BrokenPromiseError
from kill_plans import Plan
from zygote import Zygote

from batchata.gateway import BatchFault, HttpFault, ItemFault, Scenario, with_faults

#: faults after which every job is still billed at most once
FAULTS = (
    "shuffled",
    "both-files",
    "duplicate-lines",
    "unknown-id",
    "empty-error-file",
    "crlf",
    "truncated-download",
    "unknown-status",
    "failed-batch",
    "token-limit-once",
    "expired",
    "vendor-cancelled",
    "enqueued-limit",
    "small-limits",
    "foreign-batches",
    "clock-skew",
    "clock-behind",
    "item-errors",
    "item-overloaded",
    "item-rate-limited",
    "http-500",
    "http-502",
    "http-503",
    "http-529",
    "create-503",
    "cut-upload",
    "cut-before-create",
    "cut-after-create",
    "502-after-create",
    "cut-poll",
    "list-errors",
    "download-503",
)
#: these keep a run waiting for its timeout
SLOW_FAULTS = ("hang-after-create", "hang-poll")
#: a run on a busy machine may be slow; one that takes longer hangs
HANGS_SECONDS = 120.0
ROUTES = ("batch",) * 5 + ("live",) * 3 + ("auto",) * 2


def random_http_fault(chance: random.Random) -> HttpFault:
    """Something goes wrong on some route, before or after its effect."""
    routes = ["create", "retrieve", "list", "results", "cancel"]
    route = chance.choice([*(f"*.batches.{name}" for name in routes), "openai.files.*"])
    action = chance.choice(["status", "status_after", "cut", "cut_after", "truncate"])
    return HttpFault(
        action=action,
        route=route,
        times=chance.randint(1, 3),
        skip=chance.randint(0, 3),
        status=chance.choice([408, 409, 429, 500, 502, 503, 504]),
    )


def is_kept(fault: HttpFault) -> bool:
    """False for answers that no vendor gives after it took a batch."""
    is_lie = fault.action == "status_after" and fault.status == 429
    return not (is_lie or (fault.action == "status_after" and "files" in fault.route))


def random_plan(chance: random.Random, number: int) -> Plan:
    """A script and the troubles of its vendors."""
    names = chance.sample(FAULTS, chance.choice([0, 0, 1, 1, 2, 3]))
    if chance.random() < 0.1:
        names.append(chance.choice(SLOW_FAULTS))
    faults = [random_http_fault(chance) for _ in range(chance.choice([0, 1, 2, 4]))]
    scenario = Scenario(
        latency_seconds=chance.choice([0, 0, 0.02, 0.1]),
        foreign_batches=chance.choice([0, 0, 3]),
        # one look may be told too little; on a busy machine two may come later than they should
        listing_delay_calls=chance.choice([0, 0, 0, 1]),
        http=tuple(fault for fault in faults if is_kept(fault)),
        items=chance.choice([(), (ItemFault(outcome="server_error", share=0.3, attempts=2),)]),
        batches=chance.choice([(), (BatchFault(change="expired", times=2, share=0.3),)]),
    )
    return Plan(
        name=f"cycle {number}",
        vendors=chance.choice([("openai",), ("anthropic",), ("openai", "anthropic")]),
        jobs=chance.randint(1, 24),
        scenario=with_faults(scenario, ",".join(names)),
        faults="",
        items_per_batch=chance.randint(1, 7),
        max_parallel_batches=chance.randint(1, 5),
        result_format=chance.choice(["json", "jsonl", "jsonl", "parquet"]),
        raw_files=chance.random() < 0.7,
        route=chance.choice(ROUTES),
        settle_seconds=0.4,
        timeout_seconds=1.0,
        limit_usd=chance.choice([None, None, 0.0005, 0.002, 0.01]),
        on_stop=chance.choice(["detach", "detach", "cancel"]),
        has_fixed_batches=False,
    )


def disturbance(chance: random.Random, touches: int) -> dict[str, Any]:
    """What happens to one run of the script."""
    kind = chance.choice(["kill", "kill", "kill", "kill", "int", "term", "int int", "full", "time"])
    moment = chance.random() * 0.15
    if kind == "kill":
        return {"kill_at": chance.randint(1, max(1, touches))}
    if kind == "full":
        return {"disk_full_after": chance.randint(0, max(1, touches // 4))}
    if kind == "time":
        return {"time_limit": 0.01 + moment}
    number = signal.SIGTERM if kind == "term" else signal.SIGINT
    signals = [(moment, number)]
    if kind == "int int":
        signals.append((chance.random() * 0.1, signal.SIGINT))
    return {"signals": signals, "signals_from": chance.choice(["start", "before", "after"])}


def cycle(arena: Arena, seed: int) -> int:
    """One script, disturbed some times and then run to its end; how often it was disturbed."""
    chance = random.Random(seed)
    plan = random_plan(chance, seed)
    calm = replace(plan, scenario=Scenario(), limit_usd=None, route="batch")
    found = arena.baseline(calm)
    folder = arena.new_case(plan)
    count = chance.choice([1, 1, 2, 3, 6])
    for _ in range(count):
        order = disturbance(chance, len(found.points))
        limit = order.pop("time_limit", None)
        run = replace(plan, time_limit_seconds=limit)
        try:
            arena.run(run, folder, longest_seconds=HANGS_SECONDS, **order)
        except BrokenPromiseError as error:
            raise BrokenPromiseError(f"{error}\nwith {order}") from None
        if plan.limit_usd is not None and chance.random() < 0.3:
            plan = replace(plan, limit_usd=plan.limit_usd * 2)
    # a clock that jumped back would be a trouble of its own
    clock = Scenario(clock_skew_seconds=plan.scenario.clock_skew_seconds)
    last = replace(calm, route=plan.route, scenario=clock)
    arena.play(last)
    outcome = arena.run(last, folder, longest_seconds=HANGS_SECONDS)
    for _ in range(3):  # a batch from before may have been the last attempt of a job
        if "failed" not in {row[1] for row in outcome.results.values()}:
            break
        outcome = arena.run(last, folder, longest_seconds=HANGS_SECONDS)
    has_live = plan.route != "batch"
    found.plan = replace(last, has_fixed_ends=not has_live)
    arena.check(found, folder, outcome)
    shutil.rmtree(folder)
    return count


def main() -> int:
    """Run cycles until the number or the time is reached, or a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of the first cycle")
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=None, help="stop after this time")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first break")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    end = None if options.minutes is None else time.monotonic() + options.minutes * 60
    tell(f"seed {first}, up to {options.cycles} cycles")
    broken = runs = done = 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory() as folder,
        Arena(Zygote(Path(folder))) as arena,
        contextlib.suppress(KeyboardInterrupt),
    ):
        for seed in range(first, first + options.cycles):
            if end is not None and time.monotonic() > end:
                break
            try:
                runs += cycle(arena, seed)
                done += 1
            except BrokenPromiseError as error:
                broken += 1
                done += 1
                plan = random_plan(random.Random(seed), seed)
                tell(f"BROKEN with --seed {seed} --cycles 1\n{plan}\n{error}\n")
                if not options.keep_going:
                    break
            if done % 50 == 0:
                tell(f"{done} cycles, {runs} disturbed runs, {broken} broken")
    tell(f"{done} cycles, {runs} disturbed runs, {broken} broken; first seed {first}")
    return 1 if broken else 0


def tell(text: str) -> None:
    """Say something at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
