"""A gateway that many clients ask while it is killed: `make soak-gateway ARGS="--cycles 200"`.

Every cycle is made from its own seed, which is printed when a promise is broken:
`make soak-gateway ARGS="--seed SEED --cycles 1"` plays it again. Talks to 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway_under_load import BrokenPromiseError, GatewayUnderLoad
from load_checks import check
from zygote import Zygote

from batchata.gateway import HttpFault, Sandbox, Scenario


def random_scenario(chance: random.Random) -> Scenario:
    """The troubles of the upstream; nothing in them is billed and not told."""
    routes = ["openai.chat", "openai.responses", "anthropic.messages", "*"]
    actions: list[Any] = ["status", "cut", "status", "stream_error", "cut_after", "slow"]
    return Scenario(
        latency_seconds=chance.choice([0, 0, 0.01, 0.1]),
        http=tuple(
            HttpFault(
                action=chance.choice(actions),
                route=chance.choice(routes),
                times=chance.randint(1, 10),
                skip=chance.randint(0, 20),
                status=chance.choice([400, 429, 500, 502, 503, 529]),
                seconds=0.05,
            )
            for _ in range(chance.choice([0, 0, 1, 3]))
        ),
    )


def cycle(zygote: Zygote, box: Sandbox, seed: int, folder: Path) -> GatewayUnderLoad:
    """One gateway, ended some times and then left in peace; what came of it."""
    chance = random.Random(seed)
    box.set_scenario(random_scenario(chance))
    box.reset()
    limit = Decimal(chance.choice(["0.0005", "0.004", "0.03", "1"]))
    found = GatewayUnderLoad(chance, box, zygote, folder, limit, is_held=chance.random() < 0.15)
    config = found.config()
    ends = chance.choice([[signal.SIGKILL], [signal.SIGTERM], [signal.SIGKILL, signal.SIGTERM]])
    for _ in range(chance.choice([0, 1, 2, 4])):
        found.life(config, chance.choice(ends))
    found.life(config, None)
    check(found)
    return found


def main() -> int:
    """Run cycles until the number or the time is reached, or a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of the first cycle")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=None, help="stop after this time")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    end = None if options.minutes is None else time.monotonic() + options.minutes * 60
    tell(f"seed {first}, up to {options.cycles} cycles")
    done = kills = answers = refused = batches = 0
    place = Path(tempfile.mkdtemp(prefix="batchata-soak-"))
    try:
        zygote = Zygote(place)
        with Sandbox() as box:
            for seed in range(first, first + options.cycles):
                if end is not None and time.monotonic() > end:
                    break
                folder = place / str(seed)
                folder.mkdir()
                try:
                    found = cycle(zygote, box, seed, folder)
                except BrokenPromiseError as error:
                    tell(f"BROKEN with --seed {seed} --cycles 1, see {folder}\n{error}")
                    place = place / "nothing"
                    return 1
                shutil.rmtree(folder)
                done, kills = done + 1, kills + found.kills
                answers += len(found.told.answers)
                refused += found.told.statuses[429] + found.told.statuses[402]
                batches += len(found.told.batches)
                if done % 20 == 0:
                    tell(f"{done} cycles, {kills} kills, {answers} answers")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    tell(
        f"{done} cycles, {kills} kills, {answers} answers, {refused} refused, "
        f"{batches} batches, nothing broken"
    )
    return 0


def tell(text: str) -> None:
    """Say something at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
