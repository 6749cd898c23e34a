"""The dashboard "Money": savings, spend and the projected break-even date."""

from __future__ import annotations

import spend
from expressions import AT_MOST, INVESTMENT, LOWER, RATIO, SAVINGS, UPPER, saved
from grafana_foundation_sdk.builders import dashboard
from panels import BLUE, GREEN, GREY, JOB, ORANGE, RED, figure, lines, row, start

SIGN = [(None, RED), (0, GREEN)]
NOT_MEASURED = "not measured yet"


def build() -> dashboard.Dashboard:
    """The builder of the dashboard."""
    board = start(
        "breakeven-money",
        "Breakeven: Money",
        "What the student saves, what it cost, and when it pays for itself.",
    )
    for add in (_now, _break_even, spend.add_totals, spend.add_rates, spend.add_tokens):
        board = add(board)
    return board


def _now(board: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        board.with_row(row("Now"))
        .with_panel(
            figure(
                "Savings to date, estimated",
                "Baseline minus teacher spend and hosting since the start of the ledger, without pinned requests. The baseline is estimated from compared answers. Negative: the student has cost more than it saved.",
                SAVINGS,
                "currencyUSD",
                steps=SIGN,
                none=NOT_MEASURED,
                width=6,
            )
        )
        .with_panel(
            figure(
                "Savings, 95% interval",
                "The interval of the estimate. More comparisons make it narrower.",
                [(LOWER, "from"), (UPPER, "to")],
                "currencyUSD",
                steps=SIGN,
                none=NOT_MEASURED,
                width=6,
            )
        )
        .with_panel(figure("Investment", "One-time cost of distilling the student.", INVESTMENT, "currencyUSD"))
        .with_panel(
            figure(
                "Paid back",
                "Savings divided by investment; 100 % is break-even.",
                RATIO,
                "percentunit",
                steps=[(None, RED), (0, ORANGE), (1, GREEN)],
                none=NOT_MEASURED,
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Break-even",
                "When savings reach the investment at the pace of recent days, or the time at which they did. It takes measured savings and three whole days.",
                f"1000 * max(breakeven_payback_timestamp_seconds{JOB})",
                "dateTimeAsIsoNoDateIfToday",
                none="no date yet",
            )
        )
        .with_panel(
            figure(
                "Savings in the last hour, estimated",
                "The traffic of the last hour at the estimate for all traffic, minus the hour's spend and hosting.",
                saved("1h"),
                "currencyUSD",
                steps=SIGN,
                none=NOT_MEASURED,
                width=6,
            )
        )
        .with_panel(
            figure(
                "At most, until answer length is measured",
                "The student's own tokens at the teacher's prices, minus teacher spend and hosting. A limit and no estimate: the teacher's own answers may be shorter. Shown until enough answers were compared.",
                AT_MOST,
                "currencyUSD",
                none="measured",
                width=8,
            )
        )
        .with_panel(
            figure(
                "Comparisons needed",
                "Compared answers that are missing until savings can be estimated; see road.sample.",
                f"max(breakeven_compared_pairs_needed{JOB})",
                "short",
                width=4,
            )
        )
        .with_panel(
            figure(
                "Student, USD per million tokens",
                "Hosting cost divided by tokens served, since the start of the ledger.",
                f"max(breakeven_student_usd_per_million_tokens{JOB})",
                "currencyUSD",
                width=6,
            )
        )
    )


def _break_even(board: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        board.with_row(row("Break-even"))
        .with_panel(
            lines(
                "Savings and investment",
                "Cumulative savings, estimated, with their 95% interval, and the investment. Grey: until answer length is measured, the most that it can be. The dot is the break-even point, if it is in this time range.",
                [
                    (SAVINGS, "savings"),
                    (LOWER, "lower"),
                    (UPPER, "upper"),
                    (AT_MOST, "at most, not measured"),
                    (INVESTMENT, "investment"),
                    (
                        f"{SAVINGS} and {RATIO} >= 1 and max(breakeven_payback_ratio{JOB} offset $__rate_interval) < 1",
                        "break-even",
                    ),
                ],
                "currencyUSD",
                colors={
                    "savings": BLUE,
                    "lower": BLUE,
                    "upper": BLUE,
                    "at most, not measured": GREY,
                    "investment": RED,
                    "break-even": GREEN,
                },
                width=16,
                height=10,
                dashed=["at most, not measured", "investment"],
                dots=["break-even"],
                band=("lower", "upper"),
            )
        )
        .with_panel(
            lines(
                "Break-even date",
                "The date over time. A flat line means that it is stable, a rising one that it slips; no line: none is known.",
                [(f"1000 * max(breakeven_payback_timestamp_seconds{JOB})", "break-even")],
                "dateTimeAsIso",
                width=8,
                height=10,
            )
        )
    )
