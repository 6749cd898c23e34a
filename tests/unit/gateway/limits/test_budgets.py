"""Reservations from monthly budgets: within one process, between processes on one ledger, and without the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from breakeven.gateway.accounting.estimates import Estimate
from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.budgets import month_start
from breakeven.gateway.limits.budgets import Budgets
from tests.unit.gateway.limits.test_rate_limits import END_OF_YEAR, Clock, record

BUDGET = 1_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger.open(f"sqlite:///{tmp_path}/ledger.db", journal=tmp_path / "journal")) as opened:
        yield opened


@pytest.fixture
def other(tmp_path: Path, ledger: Ledger) -> Iterator[Ledger]:
    with closing(Ledger.open(f"sqlite:///{tmp_path}/ledger.db", journal=tmp_path / "other")) as opened:
        yield opened


def named(number: int) -> str:
    return f"{number:032x}"


async def hold(budgets: Budgets, number: int, amount: int, budget: int = BUDGET) -> bool:
    return await budgets.hold(named(number), "team", amount, budget, 60)


def settle(budgets: Budgets, ledger: Ledger, one: RequestRecord) -> None:
    ledger.settle(one)
    budgets.add("team", one)
    budgets.release(one.id, one)


@pytest.mark.parametrize("amount", [BUDGET // 20, BUDGET // 1000])
def test_many_at_once_hold_no_more_than_the_budget(ledger: Ledger, other: Ledger, amount: int) -> None:
    async def burst() -> int:
        both = [Budgets(one, 2, Clock()) for one in (ledger, other)]
        for budgets in both:
            await budgets.refresh()
        fits = await asyncio.gather(*(hold(both[number % 2], number, amount) for number in range(3000)))
        return sum(fits)

    admitted = asyncio.run(burst()) * amount
    assert BUDGET * 0.9 <= admitted <= BUDGET * 1.1


def test_an_ended_request_makes_room_for_the_next(ledger: Ledger, other: Ledger) -> None:
    async def run() -> list[bool]:
        one, two = Budgets(ledger, clock=Clock()), Budgets(other, clock=Clock())
        found = [await hold(one, 1, 900_000), await hold(two, 2, 200_000)]
        settle(one, ledger, record(1, cost=700_000))
        assert ledger.flush(10)
        found += [await hold(two, 2, 200_000), await hold(one, 3, 200_000)]
        two.release(named(2), None)  # nothing was sent
        await two.finish()
        return [*found, await hold(one, 3, 200_000)]

    assert asyncio.run(run()) == [True, False, True, False, True]
    assert ledger.budgets.spent(month_start(END_OF_YEAR)) == {"team": 700_000}


def test_one_request_may_cost_more_than_what_is_left_but_not_two(ledger: Ledger) -> None:
    async def run() -> list[bool]:
        budgets = Budgets(ledger, clock=Clock())
        found = [await hold(budgets, number, 5_000_000) for number in (1, 2)]
        settle(budgets, ledger, record(1, cost=300_000))
        found.append(await hold(budgets, 2, 5_000_000))
        settle(budgets, ledger, record(2, cost=900_000))
        return [*found, await hold(budgets, 3, 1)]

    assert asyncio.run(run()) == [True, False, True, False]


def test_estimated_cost_counts(ledger: Ledger) -> None:
    plain = record(1)
    cut = msgspec.structs.replace(
        plain.attempts[0], usage_missing=True, estimated=Estimate(10, 95), cost_estimated=BUDGET
    )
    one = msgspec.structs.replace(plain, attempts=(cut,))

    async def run() -> list[object]:
        budgets = Budgets(ledger, clock=Clock())
        settle(budgets, ledger, one)
        before = budgets.spent("team")
        assert await budgets.refresh()
        return [before, budgets.spent("team"), await hold(budgets, 2, 1)]

    assert asyncio.run(run()) == [BUDGET, BUDGET, False]


def test_what_a_killed_process_held_expires(ledger: Ledger) -> None:
    clock = Clock()

    async def run() -> list[bool]:
        found = [
            await hold(Budgets(ledger, clock=clock), 1, 900_000),
            await hold(Budgets(ledger, clock=clock), 2, 900_000),
        ]
        clock.now += 3600
        return [*found, await hold(Budgets(ledger, clock=clock), 2, 900_000)]

    assert asyncio.run(run()) == [True, False, True]


def test_a_second_attempt_replaces_what_is_held(ledger: Ledger) -> None:
    async def run() -> list[bool]:
        budgets = Budgets(ledger, clock=Clock())
        found = [await hold(budgets, 1, 400_000), await hold(budgets, 1, 800_000), await hold(budgets, 1, 1_200_000)]
        return [*found, await hold(budgets, 2, 300_000), await hold(budgets, 2, 150_000)]

    # Alone, a request may cost more than what is left.
    assert asyncio.run(run()) == [True, True, True, False, False]


def test_without_the_ledger_the_process_counts_alone(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    ledger.close()
    (tmp_path / "ledger.db").unlink()
    (tmp_path / "ledger.db").mkdir()

    async def run() -> int:
        budgets = Budgets(ledger, clock=Clock())
        return sum(await asyncio.gather(*(hold(budgets, number, BUDGET // 10) for number in range(50))))

    with pytest.raises(LedgerError):
        ledger.budgets.spent(0)
    assert asyncio.run(run()) == 10
    assert [line for line in caplog.messages if "this process alone" in line]
