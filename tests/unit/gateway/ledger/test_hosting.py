"""Observed replicas in the ledger, and the hosting cost that all readers take from them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from breakeven.gateway.config.schema import Config
from breakeven.gateway.economics.hosting import Rate
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.database import open_engine, transaction, upgrade
from breakeven.gateway.ledger.hosting import Span
from breakeven.gateway.ledger.statements import read
from tests.support.processes import make_config

HOUR = 3_600_000_000
MINUTE = HOUR // 60
NOW = 10 * HOUR
USD = 10**12


def config(usd: str = "1", replicas: int = 2) -> Config:
    urls = ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    since = {"hosting_since": "1970-01-01T00:00:00Z"}
    hosting = {"hosting_usd_per_hour": usd, "hosting_replicas": replicas}
    return Config.model_validate(make_config(*urls, student=hosting, economics=since))


def minutes(since: int, until: int, replicas: float, busy: float | None = 0.0, active: float | None = 0.0) -> Span:
    return Span(since * MINUTE, until * MINUTE, replicas, busy, active)


def observe(ledger: Ledger, *spans: Span) -> None:
    ledger.observe_hosting(spans, spans[-1].until + 2 * MINUTE)


def cost(ledger: Ledger, since: int, until: int, now: int = NOW) -> int:
    """Picodollars over minutes."""
    return ledger.hosting(now).cost(since * MINUTE, until * MINUTE)


def test_replicas_that_scale_to_zero_and_back(ledger: Ledger) -> None:
    ledger.enter(config(), now=0)
    observe(ledger, minutes(0, 30, 3, 1.5), minutes(30, 60, 0))
    observe(ledger, minutes(60, 90, 0))
    observe(ledger, minutes(90, 120, 2, 0.5))
    assert [cost(ledger, *period) for period in ((0, 60), (60, 120), (120, 180))] == [USD * 3 // 2, USD, 2 * USD]
    statement = read(ledger, 2 * HOUR).statement
    assert statement.hosting == USD * 5 // 2
    observed = statement.observed
    assert (observed.share, observed.mean_replicas, observed.idle_share, observed.last) == (1.0, 1.25, 0.6, 2.0)


def test_several_observers_count_no_time_twice_and_fill_each_others_gaps(
    ledger: Ledger, url: str, tmp_path: Path
) -> None:
    other = Ledger.open(url, journal=tmp_path / "other")
    ledger.enter(config(), now=0)
    for minute in range(10, 40):
        observe(ledger, minutes(minute, minute + 1, 1, 1))
        other.observe_hosting([Span(minute * MINUTE + 20, (minute + 1) * MINUTE + 20, 1, 1, 1)], 0)
    for minute in range(40, 50):  # the first one has stopped
        observe(other, minutes(minute, minute + 1, 4, 0))
    seen = ledger.hosting(NOW).observed(0, HOUR)
    other.close()
    assert (seen.time, seen.busy) == (40 * MINUTE, 30 * MINUTE + 20)
    assert seen.replicas == 30 * MINUTE + 20 + 4 * (10 * MINUTE - 20)


def test_a_span_over_the_end_of_an_hour_is_in_both(ledger: Ledger) -> None:
    ledger.enter(config(), now=0)
    observe(ledger, minutes(50, 130, 5))
    assert [cost(ledger, 60 * hour, 60 * hour + 60) for hour in range(3)] == [
        (2 * 50 + 5 * 10) * USD // 60,
        5 * USD,
        (5 * 10 + 2 * 50) * USD // 60,
    ]


def test_what_is_not_measured_is_not_known(ledger: Ledger) -> None:
    ledger.enter(config(), now=0)
    observe(ledger, minutes(0, 20, 1.5, None, None), minutes(20, 60, 3, 1, None))
    observed = ledger.hosting(NOW).observed(0, HOUR)
    assert observed.mean_replicas == 2.5
    assert observed.idle_share == 1 - 1 / 3
    assert observed.share_without_tokens is None
    assert cost(ledger, 0, 60) == USD * 5 // 2


def test_nothing_is_known_of_a_ledger_without_observations(ledger: Ledger) -> None:
    ledger.enter(config(), now=0)
    statement = read(ledger, HOUR).statement
    assert statement.hosting == 2 * USD
    observed = statement.observed
    assert (observed.share, observed.mean_replicas, observed.idle_share, observed.last) == (None, None, None, None)


def test_the_price_of_one_replica_is_added_to_an_older_ledger(url: str, journal: Path, tmp_path: Path) -> None:
    engine = open_engine(url)
    with transaction(engine, write=True) as connection:
        upgrade(connection, "0006")
    engine.dispose()
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as old, old:
        old.execute(f"INSERT INTO hosting_rates (since, per_hour) VALUES (0, {USD}), ({HOUR}, {2 * USD})")
    ledger = Ledger.open(url, journal=journal)
    observe(ledger, minutes(0, 120, 7))
    assert cost(ledger, 0, 120) == 3 * USD, "what one replica cost is not known"
    ledger.enter(config(), now=2 * HOUR)
    assert ledger.rates() == [Rate(0, USD, None), Rate(HOUR, 2 * USD, USD)]
    assert cost(ledger, 0, 120) == 8 * USD
    ledger.enter(config(), now=3 * HOUR)
    assert len(ledger.rates()) == 2
    ledger.close()


@pytest.mark.parametrize("hour", [1, 200])
def test_hours_in_the_future_are_left_out(ledger: Ledger, hour: int) -> None:
    """They come from a gateway whose clock is wrong."""
    ledger.enter(config(), now=0)
    observe(ledger, minutes(60 * hour, 60 * hour + 60, 9))
    assert ledger.hosting(HOUR // 2).cost(0, 300 * HOUR) == 600 * USD
