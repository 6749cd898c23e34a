"""Spend this month: the ledger's sum plus what was settled since, each counted once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.limits.monthly_spend import MonthlySpend

END_OF_NOVEMBER = 1_796_083_140.0  # 2026-11-30T23:59:00Z


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    found = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", journal=tmp_path / "journal")
    yield found
    found.close()


def test_concurrent_refreshes_subtract_added_costs_once(ledger: Ledger) -> None:
    begun, go = threading.Event(), threading.Event()

    def read(month: int) -> dict[str, int]:
        begun.set()
        assert go.wait(10)
        return {"a": 100}

    async def both() -> int:
        spending = MonthlySpend(ledger, read)
        spending.add("a", 100)
        readings = [asyncio.create_task(spending.refresh()) for _ in range(2)]
        await asyncio.to_thread(begun.wait, 10)
        spending.add("a", 7)
        go.set()
        assert await asyncio.gather(*readings) == [True, True]
        return spending.of("a")

    # The second reading stands for the ledger as it is then; 7 of it may have been stored meanwhile.
    assert asyncio.run(both()) == 100


def test_a_new_month_starts_at_zero(ledger: Ledger) -> None:
    now = [END_OF_NOVEMBER]
    spending = MonthlySpend(ledger, lambda month: {"a": 5} if month == 1_793_491_200_000_000 else {}, lambda: now[0])
    spending.add("a", 3)
    assert asyncio.run(spending.refresh())
    spending.add("a", 2)
    assert spending.of("a") == 7
    now[0] += 120
    assert asyncio.run(spending.refresh(max_age_seconds=1000.0))
    assert spending.of("a") == 0
