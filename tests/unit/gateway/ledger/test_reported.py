"""The provider's own prices, summed beside the counted costs, and what the report says of them."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.reported import Reported
from breakeven.gateway.ledger.statements import read
from breakeven.gateway.reports import report_text
from breakeven.gateway.reports.report import Report
from breakeven.router.policy import Route
from tests.unit.gateway.ledger.records import record

USD = 10**12
HOUR = 3_600_000_000


def settle(ledger: Ledger, *, at: int, money: int, reported: int | None, route: Route = Route.TEACHER) -> None:
    one = record(at=at, route=route, money=money)
    attempt = one.attempts[-1]
    usage = msgspec.structs.replace(attempt.usage, reported_cost=reported)
    ledger.settle(msgspec.structs.replace(one, attempts=(msgspec.structs.replace(attempt, usage=usage),)))


def made(ledger: Ledger) -> Report:
    return Report(read(ledger, 10 * HOUR), (), (), (), 1, ledger.reported())


def test_only_attempts_of_the_teacher_with_a_reported_price_count(ledger: Ledger) -> None:
    # Together more than a 64-bit sum of picodollars holds.
    for at in (0, 1, 2):
        settle(ledger, at=at, money=4_000_000 * USD, reported=5_000_000 * USD + 1)
    settle(ledger, at=HOUR, money=2 * USD, reported=2 * USD)
    settle(ledger, at=HOUR, money=USD, reported=None)
    settle(ledger, at=HOUR, money=USD, reported=3 * USD, route=Route.STUDENT)
    assert ledger.flush(10)
    assert ledger.reported() == Reported(4, 15_000_002 * USD + 3, 12_000_002 * USD)
    assert ledger.reported(1, HOUR) == Reported(2, 10_000_000 * USD + 2, 8_000_000 * USD)
    assert ledger.reported(HOUR) == Reported(1, 2 * USD, 2 * USD)


def test_a_difference_is_one_line_of_the_report(ledger: Ledger) -> None:
    settle(ledger, at=0, money=2 * USD, reported=USD)
    settle(ledger, at=1, money=2 * USD, reported=5 * USD // 2)
    assert ledger.flush(10)
    report = made(ledger)
    lines = [line for line in report_text.lines(report) if "own price" in str(line)]
    assert lines == [
        "the provider's own price of 2 attempts is $3.50, counted here $4.00 (difference -$0.50): check usd_per_million"
    ]
    found = report.to_dict()
    assert Decimal(found["reported_cost_usd"]) == Decimal("3.5")
    assert Decimal(found["counted_cost_usd_of_reported"]) == 4


def test_equal_prices_and_none_at_all_are_not_mentioned(ledger: Ledger) -> None:
    settle(ledger, at=0, money=USD, reported=None)
    assert ledger.flush(10)
    report = made(ledger)
    assert (report.to_dict()["reported_cost_usd"], report.to_dict()["counted_cost_usd_of_reported"]) == (None, None)
    settle(ledger, at=0, money=USD, reported=USD)
    assert ledger.flush(10)
    report = made(ledger)
    assert report.to_dict()["reported_cost_usd"] == report.to_dict()["counted_cost_usd_of_reported"] is not None
    assert not [line for line in report_text.lines(report) if "own price" in str(line)]
