"""Rates that processes share: whoever dies, waits or idles, no minute has more than the limit."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st
from thoroughness import how_often

from batchata.core.allowance import HOLD_SECONDS, Allowance, Amount, Rates, SharedRates, Use

STEP = 0.125


@dataclass
class Office:
    """Workers that draw from one book, at times that the test sets."""

    rates: Rates
    tokens: int = 10
    shared: SharedRates = field(default_factory=SharedRates)
    left: list[float] = field(default_factory=list)  #: when calls left
    draws: int = 0

    def work(self, name: str, own: Allowance, calls: int, now: float) -> int:
        """Have a worker send what it may of so many calls, and draw; how many left."""
        sent = 0
        while sent < calls and own.wait_seconds(self.tokens, now) == 0:
            own.use(Amount(1, self.tokens))
            self.left.append(now)
            sent += 1
        if own.is_in_use or own.is_short:
            self.draws += 1
            grant = self.shared.draw(name, own.tell(now), self.rates, now)
            own.grant(grant.amount, now)
        return sent

    @property
    def most_in_a_minute(self) -> int:
        """The largest number of calls in any 60 seconds."""
        times = self.left
        return max((bisect_right(times, at + 59.999) - n for n, at in enumerate(times)), default=0)


@settings(max_examples=how_often(40), deadline=None)
@given(
    st.integers(1, 2_000),
    st.one_of(st.none(), st.integers(50, 20_000)),
    st.integers(1, 5),
    st.integers(0, 1 << 30),
)
@example(rpm=177, tpm=None, workers=1, seed=194)
def test_no_minute_has_more_than_the_limit_whoever_is_killed(
    rpm: int, tpm: int | None, workers: int, seed: int
) -> None:
    office, chance = Office(Rates(rpm, tpm)), random.Random(seed)
    crew = {f"w{n}": Allowance(office.rates) for n in range(workers)}
    births = 0

    for tick in range(int(100 / STEP)):
        for name in list(crew):
            if chance.random() < 0.01:  # killed with all it had; another begins
                del crew[name]
                births += 1
                crew[f"again{births}"] = Allowance(office.rates)
            elif chance.random() < 0.8:
                calls = chance.choice((0, 1, 5, 1_000))
                office.work(name, crew[name], calls, tick * STEP)

    assert office.most_in_a_minute <= rpm
    if tpm is not None:
        # a call that is more than two seconds' worth leaves when there are two, into debt
        over = office.tokens if tpm < 300 else 0
        assert office.most_in_a_minute * office.tokens <= tpm + over


@settings(max_examples=how_often(20), deadline=None)
@given(st.sampled_from([1, 10, 60, 600, 6_000]), st.integers(1, 8), st.integers(0, 7))
def test_those_who_work_use_nearly_all_of_it(rpm: int, workers: int, idle: int) -> None:
    office = Office(Rates(rpm))
    crew = {f"w{n}": Allowance(office.rates) for n in range(workers)}
    for n in range(idle):  # these take their part once, and never again
        office.work(f"idle{n}", Allowance(office.rates), 1, 0.0)

    for tick in range(int(180 / STEP)):
        for name, own in crew.items():
            office.work(name, own, 1_000, tick * STEP)

    assert len(office.left) >= 0.93 * 3 * rpm - 1


def test_a_large_call_has_its_turn_among_small_ones() -> None:
    rates = Rates(None, 6_000)  # a burst is 200
    shared, left = SharedRates(), dict.fromkeys(("small", "large"), 0)
    crew = {name: Allowance(rates) for name in left}

    for tick in range(int(60 / STEP)):
        for name, tokens in (("small", 10), ("large", 190)):
            own, now = crew[name], tick * STEP
            while own.wait_seconds(tokens, now) == 0:
                own.use(Amount(1, tokens))
                left[name] += tokens
            own.grant(shared.draw(name, own.tell(now), rates, now).amount, now)

    assert left["large"] > 400
    assert left["small"] > 400


def test_what_is_handed_out_lasts_for_many_calls() -> None:
    office = Office(Rates(60_000))
    own = Allowance(office.rates)

    for tick in range(int(10 / STEP)):
        office.work("w", own, 50, tick * STEP)

    assert len(office.left) >= 3_900
    assert office.draws <= 10 / STEP  # and none is for one call


def test_what_a_silent_worker_holds_is_used_up_when_its_time_is_over() -> None:
    rates, shared = Rates(600), SharedRates()  # a burst is 20
    need = Use(need=Amount(1))

    first = shared.draw("dead", need, rates, 100.0)
    waits = shared.draw("lives", need, rates, 100.0)
    early = shared.draw("lives", need, rates, 100.0 + HOLD_SECONDS - 1)
    late = shared.draw("lives", need, rates, 100.0 + HOLD_SECONDS + 0.5)

    assert first.amount.requests == 20
    assert waits.amount.requests == 0
    assert waits.wait_seconds > 0
    assert early.amount.requests == 0  # it may still come back with all of it
    assert 0 < late.amount.requests < 20


def test_what_is_not_used_comes_back_at_once() -> None:
    rates, shared = Rates(600), SharedRates()
    need = Use(need=Amount(1))

    shared.draw("a", need, rates, 100.0)
    shared.draw("a", Use(spent=Amount(4), kept=Amount(2)), rates, 100.5)

    assert 10 <= 2 * shared.draw("b", need, rates, 100.5).amount.requests <= 20
    assert shared.holds["a"].kept.requests == 2


def test_an_allowance_ends_with_its_time() -> None:
    own = Allowance(Rates(60))
    own.grant(Amount(5), 100.0)

    assert own.wait_seconds(10, 100.0 + HOLD_SECONDS - 0.1) == 0
    assert own.wait_seconds(10, 100.0 + HOLD_SECONDS + 0.1) > 0
    assert own.tell(100.0 + HOLD_SECONDS + 0.1).kept == Amount()
