"""The shard ledger: one worker a shard, one part that counts, and money and rates for all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import how_often

from batchata.core.allowance import Amount, Rates, Use
from batchata.generate.ledger import LEASE_SECONDS, Funded, Funds, Ledger, Shard, Tally
from batchata.generate.selection import Span
from batchata.generate.worker_handles import Restarts


class Clock:
    """A clock that tests push ahead."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """Three shards of ten rows."""
    with Ledger(tmp_path / "ledger.db", clock=clock) as made:
        made.plan({"plan": 1}, Span(0, 30).pieces(10))
        yield made


def taken(ledger: Ledger, worker: str) -> Shard:
    """The next shard, which is there."""
    shard = ledger.take(worker)
    assert shard is not None
    return shard


def test_a_shard_is_one_workers_until_its_lease_ends(ledger: Ledger, clock: Clock) -> None:
    first = [ledger.take("one") for _ in range(3)]
    assert [shard and shard.number for shard in first] == [0, 1, 2]
    assert ledger.take("two") is None

    clock.now += LEASE_SECONDS - 1
    ledger.renew("one", {}, [0, 1, 2])
    clock.now += LEASE_SECONDS - 1
    assert ledger.take("two") is None
    clock.now += 2
    again = ledger.take("two")

    assert again is not None
    assert (again.number, again.attempt) == (0, 2)


def test_a_worker_that_dies_again_and_again_without_an_answer_is_given_up(ledger: Ledger) -> None:
    restarts = Restarts()

    def die(answered: int) -> bool:
        ledger.renew(restarts.begin(), {"answered": answered})
        taken(ledger, restarts.name)
        return restarts.may_go_on(ledger, "died")

    assert [die(0), die(5), die(0), die(0), die(0)] == [True, True, True, True, False]
    assert taken(ledger, "another").number == 0  # it holds nothing


def test_a_shard_that_its_worker_never_heard_of_is_free_again(ledger: Ledger, clock: Clock) -> None:
    taken(ledger, "one")  # the answer is lost
    second = taken(ledger, "one")

    for _ in range(3):
        clock.now += LEASE_SECONDS / 2
        ledger.renew("one", {}, [second.number])

    assert taken(ledger, "two").number == 0


def test_the_first_attempt_that_commits_wins(ledger: Ledger, clock: Clock) -> None:
    slow = ledger.take("slow")
    clock.now += LEASE_SECONDS + 1
    quick = ledger.take("quick")
    assert slow is not None
    assert quick is not None
    assert slow.part != quick.part

    assert not ledger.commit(slow, "slow", Tally(answers=10))
    assert ledger.commit(quick, "quick", Tally(answers=10))
    assert ledger.commit(quick, "quick", Tally(answers=10))  # as when the answer was lost

    assert ledger.parts() == [quick.part, None, None]
    assert ledger.tally().answers == 10


def test_money_is_handed_out_a_few_jobs_at_a_time(ledger: Ledger) -> None:
    one, two = taken(ledger, "a"), taken(ledger, "b")

    first = ledger.set_aside(one, "a", Funds(sure=0, kept=0, least=5, wanted=60), 100)
    second = ledger.set_aside(two, "b", Funds(sure=0, kept=0, least=5, wanted=60), 100)
    more = ledger.set_aside(one, "a", Funds(sure=20, kept=60, least=65, wanted=90), 100)
    less = ledger.set_aside(two, "b", Funds(sure=5, kept=10, least=10, wanted=10), 100)
    then = ledger.set_aside(one, "a", Funds(sure=20, kept=60, least=65, wanted=90), 100)

    assert first == Funded(60)
    assert second == Funded(40)
    assert more == Funded(60)  # the other may give some back
    assert less == Funded(10)
    assert then == Funded(90)


def test_what_is_left_is_final_when_nobody_can_give_any_back(ledger: Ledger) -> None:
    one, two = taken(ledger, "a"), taken(ledger, "b")
    ledger.set_aside(one, "a", Funds(sure=0, kept=0, least=5, wanted=60), 100)
    ledger.commit(one, "a", Tally(answers=10, cost=20))

    funded = ledger.set_aside(two, "b", Funds(sure=0, kept=0, least=5, wanted=200), 100)
    spent = ledger.set_aside(two, "b", Funds(sure=80, kept=80, least=85, wanted=200), 100)

    assert funded == Funded(80, is_final=True)
    assert spent == Funded(80, is_final=True)


def test_what_a_dead_worker_held_may_be_spent(ledger: Ledger, clock: Clock) -> None:
    one, two = taken(ledger, "dead"), taken(ledger, "b")
    ledger.set_aside(one, "dead", Funds(sure=10, kept=10, least=20, wanted=70), 100)

    clock.now += LEASE_SECONDS + 1
    ledger.renew("b", {})
    left = ledger.set_aside(two, "b", Funds(sure=0, kept=0, least=5, wanted=60), 100)
    again = taken(ledger, "c")
    ledger.set_aside(again, "c", Funds(sure=30, kept=30, least=30, wanted=30), 100)
    more = ledger.set_aside(two, "b", Funds(sure=0, kept=30, least=35, wanted=60), 100)

    assert left == Funded(30, is_final=True)
    assert again.number == one.number
    assert more == Funded(60)  # its successor has read how much it was


def test_what_a_worker_held_that_has_just_died_is_waited_for(ledger: Ledger, clock: Clock) -> None:
    one, two = taken(ledger, "dead"), taken(ledger, "b")
    ledger.set_aside(one, "dead", Funds(sure=10, kept=10, least=20, wanted=70), 100)
    ledger.give_back("dead")

    funds = Funds(sure=0, kept=0, least=50, wanted=60)
    soon = ledger.set_aside(two, "b", funds, 100)
    clock.now += LEASE_SECONDS + 1
    ledger.renew("b", {}, [two.number])
    late = ledger.set_aside(two, "b", funds, 100)

    assert soon == Funded(0)  # whoever takes its rows up knows how much it was
    assert late == Funded(0, is_final=True)


def test_money_is_counted_again_when_a_run_begins_anew(ledger: Ledger) -> None:
    one = taken(ledger, "a")
    ledger.set_aside(one, "a", Funds(sure=10, kept=10, least=20, wanted=70), 100)
    asked: list[tuple[str, int]] = []

    def recount(state: str, most: int) -> int:
        asked.append((state, most))
        return 25

    ledger.free_all(recount)
    taken(ledger, "c")
    funded = ledger.set_aside(
        taken(ledger, "c"), "c", Funds(sure=0, kept=0, least=5, wanted=100), 100
    )

    assert asked == [(one.state, 70)]
    assert funded.parts == 75


def test_a_worker_that_lost_its_shard_gets_no_money_for_it(ledger: Ledger, clock: Clock) -> None:
    slow = taken(ledger, "slow")
    clock.now += LEASE_SECONDS + 1
    taken(ledger, "quick")

    funded = ledger.set_aside(slow, "slow", Funds(sure=0, kept=0, least=5, wanted=60), 100)

    assert funded.is_lost
    assert funded.parts == 0


@settings(max_examples=how_often(20), deadline=None)
@given(st.integers(0, 1 << 30), st.integers(20, 200))
def test_no_more_than_the_limit_is_ever_handed_out(seed: int, limit: int) -> None:
    chance = random.Random(seed)
    clock = Clock()
    with TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.db", clock=clock) as book:
        book.plan({"plan": 1}, Span(0, 60).pieces(10))
        worth = dict.fromkeys(range(6), 0)  # spent, as the state file of each shard says
        lent = dict.fromkeys(range(6), 0)  # what it may be, by those who have it or died
        crew: dict[str, Shard] = {}
        for step in range(80):
            name = f"w{chance.randrange(3)}"
            shard = crew.get(name) or book.take(name)
            clock.now += 2
            if shard is None:
                continue
            number, crew[name] = shard.number, shard
            if chance.random() < 0.1:  # dies, and its shard is soon another's
                del crew[name]
                book.give_back(name)
            elif chance.random() < 0.1:
                del crew[name]
                if book.commit(shard, name, Tally(answers=10, cost=worth[number])):
                    lent[number] = worth[number]
            else:
                sure = worth[number]
                kept = chance.randint(sure, max(sure, lent[number]))
                wanted = kept + chance.randint(0, 60)
                funds = Funds(sure, kept, chance.randint(kept, wanted), wanted)
                funded = book.set_aside(shard, name, funds, limit)
                if not funded.is_lost:
                    lent[number] = funded.parts
                    worth[number] = chance.randint(sure, funded.parts)
            book.renew(name, {}, [each.number for each in crew.values()])
            assert sum(max(worth[n], lent[n]) for n in worth) <= limit, step


def test_rates_outlive_the_processes_that_share_them(tmp_path: Path, clock: Clock) -> None:
    rates, need = Rates(requests=600), Use(need=Amount(1))
    path = tmp_path / "ledger.db"

    with Ledger(path, clock=clock) as first:
        grant = first.draw("one", need, rates)
    with Ledger(path, clock=clock) as second:
        nothing = second.draw("two", need, rates)
        clock.now += 5.5
        after = second.draw("two", need, rates)

    assert grant.amount.requests == 20  # two seconds' worth
    assert nothing.amount.requests == 0
    assert after.amount.requests == 20
