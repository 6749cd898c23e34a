"""Observed hosting in the report, the curve, the projection, the break-even date and the metrics."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from breakeven.gateway.api.report_schemas import Report
from breakeven.gateway.config.load import load_config
from breakeven.gateway.ledger import Investment, Ledger
from breakeven.gateway.ledger.hosting import Span
from breakeven.gateway.ledger.statements import read
from breakeven.gateway.observability.money import MoneyCollector
from breakeven.gateway.reports.report import books_to_dict
from tests.support.processes import samples
from tests.unit.gateway.reports.test_report import DAY, HOUR, START, USD, day, filled, report

END = START + 5 * DAY


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five days of 40 - 8 USD at one replica by the schedule, 24 USD a day. Seen: two replicas on the first day, half
    of the time busy, and none on the others; the last 12 hours were not observed.
    """
    path = filled(tmp_path_factory.mktemp("observed"), 60)
    ledger = opened(path)
    for hour in range(108):
        start = START + hour * HOUR
        count = 2 if hour < 24 else 0
        ledger.observe_hosting([Span(start, start + HOUR, count, count / 2, count * 0.75)], start + 2 * HOUR)
    ledger.close()
    return path


def opened(config: Path) -> Ledger:
    return Ledger.open(load_config(config).ledger.url, journal=config.parent / "journal")


def test_the_report_says_what_was_observed(config: Path) -> None:
    made = json.loads(report(config, "--json", "--until", day(5)).stdout)
    assert Decimal(made["hosting_usd"]) == 48 + 12
    assert made["hosting_observed"] == {
        "share": 0.9,
        "replicas": None,
        "mean_replicas": pytest.approx(48 / 108),
        "idle_share": 0.5,
        "share_without_tokens": 0.25,
        "full_load_usd_per_million_tokens": None,
    }
    assert made["student_usd_per_million_tokens"] == pytest.approx(60 / 0.088)
    assert Decimal(made["savings_usd"]) == 5 * 32 - 60
    Report.model_validate({key: value for key, value in made.items() if key in Report.model_fields})
    first = json.loads(report(config, "--json", "--since", day(0), "--until", day(1)).stdout)
    assert first["hosting_observed"]["full_load_usd_per_million_tokens"] == pytest.approx(48 / 0.0176 / 2)


def test_the_report_as_text(config: Path) -> None:
    text = report(config, "--until", day(5)).stdout
    for line in (
        "hosting hours that were observed",
        "90.0%, the others by the schedule",
        "replicas on average, observed",
        "0.44",
        "their idle share",
        "50.0%",
        "their share in intervals without a token",
        "25.0%",
        "not measured yet: takes 95% of the hours observed",
    ):
        assert line in text


def test_nothing_observed_is_not_measured_yet(tmp_path: Path) -> None:
    path = filled(tmp_path, 60)
    text = report(path, "--until", day(5)).stdout
    assert "not measured yet: set student.hosting_observed" in text
    assert "always busy" not in text
    made = json.loads(report(path, "--json", "--until", day(5)).stdout)
    assert set(made["hosting_observed"].values()) == {None}
    assert Decimal(made["hosting_usd"]) == 120


def test_curve_projection_and_break_even_take_observed_hosting(config: Path) -> None:
    ledger = opened(config)
    try:
        books = read(ledger, END)
        assert [point.hosting for point in books.curve] == [48 * USD, 0, 0, 0, 12 * USD]
        assert [point.total // USD for point in books.curve] == [-16, 16, 48, 80, 100]
        assert books.projection is not None
        assert books.projection.per_day == 20 * USD
        ledger.invest(Investment("config", START, 90 * USD))
        reached = read(ledger, END).statement.payback_at
        # 80 USD after four days, then 1.6 a request and no hosting until noon.
        assert reached == START + 4 * DAY + 8 * HOUR
    finally:
        ledger.invest(Investment("config", START, 500 * USD))
        ledger.close()


def test_metrics_are_those_of_the_report(config: Path) -> None:
    ledger = opened(config)
    try:
        registry = CollectorRegistry()
        registry.register(MoneyCollector(ledger, lambda: END))
        found = samples(generate_latest(registry).decode())
        made = books_to_dict(read(ledger, END))
    finally:
        ledger.close()
    assert found["breakeven_hosting_usd_total"] == float(made["hosting_usd"]) == 60
    seen = made["hosting_observed"]
    assert found["breakeven_hosting_observed_share"] == seen["share"] == 0.9
    assert found["breakeven_student_idle_share"] == seen["idle_share"] == 0.5
    assert "breakeven_student_replicas" not in found, "nobody observes them now"
