"""Dated entries from the config: hosting rates, prices and the investment."""

from __future__ import annotations

import datetime
import time
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from breakeven.gateway.accounting.prices import Price
from breakeven.gateway.config.load import load_config
from breakeven.gateway.config.schema import Config
from breakeven.gateway.economics.hosting import Rate
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.ledger import Investment, Ledger
from breakeven.gateway.ledger.rates import price_at
from breakeven.gateway.ledger.statements import read

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


def test_hosting_starts_when_the_ledger_is_first_used(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path), now=START)
    assert ledger.rates() == [Rate(START, PER_HOUR, PER_HOUR)]
    ledger.enter(config(tmp_path), now=START + 5 * HOUR)  # a restart
    assert ledger.rates() == [Rate(START, PER_HOUR, PER_HOUR)]
    assert ledger.investment() == 100 * 10**12


def test_hosting_since_in_the_past_is_entered(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path, since="2026-11-01T00:00:00Z"), now=START + 100 * HOUR)
    assert ledger.rates() == [Rate(START, PER_HOUR, PER_HOUR)]
    statement = read(ledger, START + 100 * HOUR).statement
    assert statement.hosting == 100 * PER_HOUR


def test_a_changed_rate_applies_from_now_on(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path), now=START)
    ledger.enter(config(tmp_path, hosting="2.4"), now=START + 10 * HOUR)
    assert ledger.rates() == [Rate(START, PER_HOUR, PER_HOUR), Rate(START + 10 * HOUR, 2 * PER_HOUR, 2 * PER_HOUR)]
    assert read(ledger, START + 20 * HOUR).statement.hosting == 10 * PER_HOUR + 20 * PER_HOUR


def test_rates_stay_in_order_when_the_clock_steps_back(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path), now=START)
    ledger.enter(config(tmp_path, hosting="2.4"), now=START - 10 * HOUR)
    rates = ledger.rates()
    assert rates == sorted(rates)
    assert read(ledger, START - 10 * HOUR).statement.hosting == 0


def test_the_configs_investment_replaces_the_stored_one(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path, invested="100"), now=START)
    ledger.enter(config(tmp_path, invested="250.5"), now=START + HOUR)
    assert ledger.investment() == int(Decimal("250.5") * 10**12)


def test_named_investments_are_added_and_can_be_replaced(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path, invested="0"), now=START)
    ledger.invest(Investment("training", START + HOUR, 7))
    ledger.invest(Investment("data", START, 5))
    ledger.invest(Investment("training", START + HOUR, 8))
    assert ledger.investments() == [Investment("data", START, 5), Investment("training", START + HOUR, 8)]
    assert ledger.investment() == 13


def changed(folder: Path, *changes: tuple[int, str, int], since: str | None = None, replicas: int = 1) -> Config:
    """A config with hosting changes at hours after START."""
    base = config(folder, since=since)
    dated = [
        {"since": datetime.datetime.fromtimestamp(START // 10**6 + hour * 3600, datetime.UTC).isoformat(),
         "usd_per_hour": usd, "replicas": count}
        for hour, usd, count in changes
    ]  # fmt: skip
    value = base.model_dump(mode="json")
    value["student"] |= {"hosting_changes": dated, "hosting_replicas": replicas}
    return Config.model_validate(value)


def test_hosting_cost_is_multiplied_by_replicas(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(changed(tmp_path, replicas=3), now=START)
    assert ledger.rates() == [Rate(START, 3 * PER_HOUR, PER_HOUR)]


def test_dated_changes_apply_from_their_dates(ledger: Ledger, tmp_path: Path) -> None:
    dated = changed(tmp_path, (10, "1.2", 2), (20, "2.4", 1), since="2026-11-01T00:00:00Z")
    expected = [
        Rate(START, PER_HOUR, PER_HOUR),
        Rate(START + 10 * HOUR, 2 * PER_HOUR, PER_HOUR),
        Rate(START + 20 * HOUR, 2 * PER_HOUR, 2 * PER_HOUR),
    ]
    for now in (START + HOUR, START + 12 * HOUR, START + 30 * HOUR):  # and restarts enter nothing twice
        ledger.enter(dated, now=now)
        assert ledger.rates() == expected


def test_a_past_change_is_entered_with_its_date(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(config(tmp_path), now=START)
    ledger.enter(changed(tmp_path, (10, "2.4", 1)), now=START + 15 * HOUR)
    assert ledger.rates() == [Rate(START, PER_HOUR, PER_HOUR), Rate(START + 10 * HOUR, 2 * PER_HOUR, 2 * PER_HOUR)]


def test_future_rates_may_change_and_past_rates_may_not(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(changed(tmp_path, (10, "2.4", 1), (20, "3.6", 1)), now=START)
    ledger.enter(changed(tmp_path, (10, "2.4", 1), (25, "4.8", 1)), now=START + 15 * HOUR)
    ledger.enter(changed(tmp_path, (25, "4.8", 1)), now=START + 16 * HOUR)
    assert [(rate.since - START) // HOUR for rate in ledger.rates()] == [0, 10, 16, 25]
    assert [rate.per_hour // PER_HOUR for rate in ledger.rates()] == [1, 2, 1, 4]


def test_a_new_ledger_starts_with_the_rate_in_force(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(changed(tmp_path, (10, "2.4", 1), (90, "3.6", 1)), now=START + 20 * HOUR)
    assert ledger.rates() == [
        Rate(START + 20 * HOUR, 2 * PER_HOUR, 2 * PER_HOUR),
        Rate(START + 90 * HOUR, 3 * PER_HOUR, 3 * PER_HOUR),
    ]


def test_gateways_with_different_prices_are_reported(
    ledger: Ledger, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Ledger.open(url, journal=tmp_path / "other")
    for one in (ledger, other):
        one.enter(config(tmp_path), now=START)
        one.maintenance(START)
    assert ledger.contradictions(START) == 1
    other.enter(config(tmp_path, hosting="9"), now=START + 1)  # as a reload of its config does
    other.maintenance(START + 1)
    other.maintenance(START + 2)
    assert ledger.contradictions(START + 2) == 2
    assert caplog.text.count("2 different sets of prices") == 1
    assert ledger.contradictions(START + 10 * 60 * 10**6) == 0  # both are gone by then
    other.close()


def test_a_gateway_deregisters_when_it_closes(url: str, tmp_path: Path) -> None:
    ledger = Ledger.open(url, journal=tmp_path / "journal", config=config(tmp_path))
    now = time.time_ns() // 1000
    assert ledger.contradictions(now) == 1
    ledger.close()
    reader = Ledger.open(url, journal=tmp_path / "journal")
    assert reader.contradictions(now) == 0
    reader.close()


# Those of the config's default.
TIERS = (("flex", 500_000), ("priority", 2_000_000))


def test_dated_prices_apply_from_their_dates(tmp_path: Path) -> None:
    value = config(tmp_path).model_dump(mode="json")
    value["teacher"]["price_changes"] = [{"since": "2026-11-02T00:00:00+00:00", "input": 7, "output": 8}]
    dated = Config.model_validate(value)
    assert price_at(dated, START) == Price(15_000_000, 15_000_000, 60_000_000, service_tiers=TIERS)
    assert price_at(dated, START + 24 * HOUR) == Price(7_000_000, 7_000_000, 8_000_000, service_tiers=TIERS)


@pytest.mark.parametrize(
    ("section", "change", "said"),
    [
        ("student", {"hosting_changes": [{"since": "2026-11-02", "usd_per_hour": 1}]}, "time zone"),
        (
            "student",
            {
                "hosting_changes": [
                    {"since": "2026-11-03T00:00:00Z", "usd_per_hour": 1},
                    {"since": "2026-11-02T00:00:00Z", "usd_per_hour": 1},
                ]
            },
            "student.hosting_changes: 2026-11-02T00:00:00Z must come after",
        ),
        (
            "student",
            {"hosting_changes": [{"since": "2026-10-02T00:00:00Z", "usd_per_hour": 1}]},
            "must come after economics.hosting_since",
        ),
        (
            "teacher",
            {"price_changes": [{"since": "2026-11-02T00:00:00Z", "input": -1, "output": 1}]},
            "teacher.price_changes[0].input",
        ),
    ],
)
def test_contradictory_dates_in_the_config_are_rejected(
    section: str, change: dict[str, object], said: str, tmp_path: Path
) -> None:
    value = config(tmp_path, since="2026-11-01T00:00:00Z").model_dump(mode="json")
    value[section] |= change
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(value))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert said in str(caught.value)


def test_the_price_of_one_replica_is_stored_even_if_the_product_is_the_same(ledger: Ledger, tmp_path: Path) -> None:
    ledger.enter(changed(tmp_path, replicas=2), now=START)
    ledger.enter(config(tmp_path, hosting="2.4"), now=START + HOUR)
    assert ledger.rates() == [
        Rate(START, 2 * PER_HOUR, PER_HOUR),
        Rate(START + HOUR, 2 * PER_HOUR, 2 * PER_HOUR),
    ]
