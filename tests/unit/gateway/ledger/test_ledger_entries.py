"""What the config enters into the ledger: hosting rates and the investment, dated."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import yaml

from gateway.books import current
from gateway.config import Config, load_config
from gateway.economics.breakeven import Rate
from gateway.ledger import Ledger

HOUR = 3_600_000_000
START = int(datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC).timestamp()) * 1_000_000
PER_HOUR = 1_200_000_000_000


def config(folder: Path, hosting: str = "1.2", invested: str = "100", since: str | None = None) -> Config:
    document = {
        "student": {"base_url": "http://127.0.0.1:1/v1", "model": "small", "hosting_usd_per_hour": hosting},
        "teacher": {
            "base_url": "http://127.0.0.1:2/v1",
            "model": "big",
            "usd_per_million": {"input": "15", "output": "60"},
        },
        "economics": {"investment_usd": invested, "hosting_since": since},
    }
    path = folder / "breakeven.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_config(path)


def test_hosting_begins_when_the_ledger_is_first_used(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path), now=START)
    assert ledger.rates() == [Rate(START, PER_HOUR)]
    ledger.enter(config(tmp_path), now=START + 5 * HOUR)  # a restart
    assert ledger.rates() == [Rate(START, PER_HOUR)]
    assert ledger.investment() == 100 * 10**12


def test_hosting_began_before(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path, since="2026-11-01T00:00:00Z"), now=START + 100 * HOUR)
    assert ledger.rates() == [Rate(START, PER_HOUR)]
    statement = current(ledger, START + 100 * HOUR)
    assert statement.hosting == 100 * PER_HOUR


def test_a_new_rate_holds_from_now_on_and_rewrites_nothing(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path), now=START)
    ledger.enter(config(tmp_path, hosting="2.4"), now=START + 10 * HOUR)
    assert ledger.rates() == [Rate(START, PER_HOUR), Rate(START + 10 * HOUR, 2 * PER_HOUR)]
    assert current(ledger, START + 20 * HOUR).hosting == 10 * PER_HOUR + 20 * PER_HOUR


def test_a_clock_that_stepped_back_keeps_the_rates_in_order(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path), now=START)
    ledger.enter(config(tmp_path, hosting="2.4"), now=START - 10 * HOUR)
    rates = ledger.rates()
    assert rates == sorted(rates)
    assert current(ledger, START - 10 * HOUR).hosting == 0


def test_an_investment_is_what_the_config_says_now(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path, invested="100"), now=START)
    ledger.enter(config(tmp_path, invested="250.5"), now=START + HOUR)
    assert ledger.investment() == int(Decimal("250.5") * 10**12)
    assert ledger.investment(until=START) == 0
