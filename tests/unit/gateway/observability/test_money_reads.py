"""How often the ledger is read for the metrics."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric

from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.observability.money import MoneyCollector
from tests.unit.gateway.ledger.records import record

NOW = time.time_ns() // 1000
_ROW = (10, 10, 0, 10_000, 0, 5_000, 3 * 10**9, 10**9, 2 * 10**9)
_NAMES = (
    "hour, upstream, pinned, endpoint, route, reason, key, workload, size, requests, attempts, usage_missing,"
    " input_tokens, cached_input_tokens, output_tokens, baseline, baseline_input, baseline_output,"
    " cost_input, cost_cached_input, cost_output"
)


def tokens(collector: MoneyCollector) -> float:
    """Exported tokens of the teacher."""
    families: list[Metric] = list(collector.collect())
    samples = [sample for family in families if family.name == "breakeven_tokens" for sample in family.samples]
    return sum(sample.value for sample in samples if sample.labels["upstream"] == "teacher")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path}/ledger.db", journal=tmp_path / "journal")


def settle(ledger: Ledger) -> None:
    ledger.settle(record(at=NOW, prompt=10, output=5))
    assert ledger.flush(20)


def test_a_small_ledger_is_read_at_each_scrape(ledger: Ledger) -> None:
    collector = MoneyCollector(ledger)
    settle(ledger)
    assert tokens(collector) == 15
    settle(ledger)
    assert tokens(collector) == 30


def test_a_ledger_that_takes_long_to_read_is_read_less_often(ledger: Ledger, tmp_path: Path) -> None:
    """Two years of four keys. At most a twentieth of the time is spent on reading, here for some seconds."""
    rows = [
        (NOW // HOUR - hour, "student", 0, "chat_completions", "student", "easy", key, "default", 1, *_ROW, 0, 0, 0)
        for hour in range(2 * 8_760)
        for key in "abcd"
    ]
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        connection.executemany(f"INSERT INTO hourly ({_NAMES}) VALUES ({', '.join('?' * len(rows[0]))})", rows)
    collector = MoneyCollector(ledger)
    started = time.monotonic()
    assert tokens(collector) == 0
    took = time.monotonic() - started
    settle(ledger)
    again = time.monotonic()
    assert tokens(collector) == 0
    assert time.monotonic() - again < took / 2
    ledger.close()


def test_figures_that_a_worker_of_another_version_left_are_read_anew(ledger: Ledger, tmp_path: Path) -> None:
    settle(ledger)
    assert tokens(MoneyCollector(ledger, folder=tmp_path)) == 15
    (left,) = tmp_path.glob("*.pickle")
    left.write_bytes(b"cbreakeven.gateway.ledger.statements\nBooksOfAnotherVersion\n.")
    settle(ledger)
    assert tokens(MoneyCollector(ledger, folder=tmp_path)) == 30
