"""Deleting raw rows on a real PostgreSQL: by several gateways at once, while others store, with every total exact."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event, func, select

from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.database import open_engine, transaction
from breakeven.gateway.ledger.pruning import prune
from breakeven.gateway.ledger.schema import attempts, requests
from breakeven.gateway.ledger.store import store
from tests.unit.gateway.ledger.records import record

pytest.importorskip("psycopg", reason="psycopg is absent; install the extra postgres")

BY = ("hour", "upstream", "pinned", "key")


def test_gateways_that_prune_at_once_delete_each_row_once_and_change_no_total(
    postgres_url: str, tmp_path: Path
) -> None:
    ledger = Ledger.open(postgres_url, journal=tmp_path / "journal")
    engine = open_engine(postgres_url)
    for start in range(0, 6000, 1000):
        old = [record(at=HOUR + start + number, attempts=1 + number % 2, key=str(number % 3)) for number in range(1000)]
        store(engine, old)
    before = ledger.sums(BY)
    stop, stored = threading.Event(), []

    def settle() -> None:
        while not stop.is_set():
            stored.append(record(at=99 * HOUR, key="new"))
            store(engine, stored[-1:])

    with ThreadPoolExecutor(4) as pool:
        running = pool.submit(settle)
        removed = list(pool.map(lambda _: prune(engine, 1, 100 * HOUR, seconds=60.0), range(3)))
        stop.set()
        running.result(60)
    # One that finds the last rows taken by another is done, too.
    assert sum(count for count, _ in removed) == 6000
    with transaction(engine, write=False) as connection:
        assert connection.scalar(select(func.count()).select_from(requests)) == len(stored)
        assert connection.scalar(select(func.count()).select_from(attempts)) == len(stored)
    assert [one for one in ledger.sums(BY) if one.group[3] != "new"] == before
    assert sum(one.requests for one in ledger.sums(BY) if one.group[3] == "new") == len(stored)
    late, doubtful = record(at=HOUR, key="late", money=50), set[str]()
    for _ in range(2):  # the second time it was pruned meanwhile
        store(engine, [late], doubtful=doubtful)
        prune(engine, 1, 100 * HOUR)
    assert [(one.requests, one.cost) for one in ledger.sums(BY) if one.group[3] == "late"] == [(1, 50)]
    engine.dispose()
    ledger.close()


def test_a_row_that_is_deleted_while_it_is_looked_for_is_not_counted_again(postgres_url: str, tmp_path: Path) -> None:
    ledger = Ledger.open(postgres_url, journal=tmp_path / "journal")
    engine, another = open_engine(postgres_url), open_engine(postgres_url)
    old = record(at=HOUR)
    store(another, [old])
    statements: list[str] = []

    def prune_after_the_first(*given: object) -> None:
        statements.append(str(given[2]))
        if len(statements) == 1:
            assert prune(another, 1, 100 * HOUR) == (1, True)

    event.listen(engine, "after_cursor_execute", prune_after_the_first)
    store(engine, [old], doubtful={old.id})
    assert ledger.sums()[0].requests == 1
    engine.dispose()
    another.dispose()
    ledger.close()
