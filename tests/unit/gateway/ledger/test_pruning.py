"""Raw rows are deleted past their retention; totals do not change."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.batches import SET_ASIDE
from breakeven.gateway.ledger.database import open_engine, transaction
from breakeven.gateway.ledger.pruning import prune
from breakeven.gateway.ledger.schema import attempts, requests
from tests.unit.gateway.ledger.records import record

DAY = 24 * HOUR
BY = ("hour", "upstream", "pinned", "key")


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    for index in range(200):
        ledger.settle(record(at=index * HOUR + 5, attempts=1 + index % 2, key=str(index % 3)))
    assert ledger.flush(20)
    return ledger


def rows(url: str) -> tuple[int, int]:
    engine = open_engine(url)
    with transaction(engine, write=False) as connection:
        found = [connection.scalar(select(func.count()).select_from(table)) or 0 for table in (requests, attempts)]
    engine.dispose()
    return found[0], found[1]


def prune_now(url: str, keep_days: int, now: int) -> int:
    engine = open_engine(url)
    removed = prune(engine, keep_days, now)
    engine.dispose()
    return removed


def test_pruning_does_not_change_totals(filled: Ledger, url: str) -> None:
    before = filled.sums(BY)
    assert prune_now(url, 2, 100 * HOUR + 7) == 52
    assert rows(url) == (148, 222)
    assert filled.sums(BY) == before
    assert prune_now(url, 2, 100 * HOUR + 7) == 0


def test_recent_periods_may_still_begin_within_an_hour(filled: Ledger, url: str) -> None:
    prune_now(url, 2, 100 * HOUR)
    assert filled.sums((), 52 * HOUR + 6, 54 * HOUR + 6)[0].requests == 2
    assert filled.sums((), 10 * HOUR, 12 * HOUR)[0].requests == 2
    with pytest.raises(ValueError, match="whole hours"):
        filled.sums((), 10 * HOUR + 6, 12 * HOUR)


def test_records_older_than_the_pruned_rows_are_set_aside(filled: Ledger, url: str, journal: Path) -> None:
    prune_now(url, 2, 100 * HOUR)
    before = filled.sums()
    late, fresh = record(at=3 * HOUR), record(at=99 * HOUR)
    for one in (late, fresh):
        filled.settle(one)
    assert filled.flush(20)
    assert filled.sums()[0].requests == before[0].requests + 1
    assert msgspec.json.decode((journal / SET_ASIDE).read_bytes())["id"] == late.id


def test_pruning_with_an_earlier_clock_changes_nothing(filled: Ledger, url: str) -> None:
    prune_now(url, 2, 100 * HOUR)
    assert prune_now(url, 2, 60 * HOUR) == 0
    with pytest.raises(ValueError, match="whole hours"):
        filled.sums((), 51 * HOUR + 6, 60 * HOUR)
