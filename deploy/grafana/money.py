"""The dashboard "Money": savings and the quality beside them, spend, and the projected break-even date."""

from __future__ import annotations

import spend
from expressions import (
    AT_MOST,
    INVESTMENT,
    LOWER,
    QUALITY,
    QUALITY_LOWER,
    QUALITY_UPPER,
    RATIO,
    SAVINGS,
    TEACHER,
    UPPER,
    routed_share,
    saved,
)
from grafana_foundation_sdk.builders import dashboard
from panels import BLUE, GREEN, GREY, JOB, ORANGE, RED, figure, lines, row, start

SIGN = [(None, RED), (0, GREEN)]
NOT_MEASURED = "not measured yet"
PAYBACK = f"max(breakeven_payback_timestamp_seconds{JOB})"


def build() -> dashboard.Dashboard:
    """The builder of the dashboard."""
    board = start(
        "breakeven-money",
        "Breakeven: Money",
        "What the student saves, at which quality, what it cost, and when it pays for itself.",
        since="now-30d",
    )
    for add in (_now, _figures, _break_even, spend.add_totals, spend.add_shares, spend.add_kinds, spend.add_details):
        board = add(board)
    return board


def _now(board: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        board.with_row(row("Now"))
        .with_panel(
            figure(
                "Savings to date, estimated, with the 95% interval",
                "Baseline minus teacher spend and hosting since the start of the ledger, without pinned requests. The baseline is estimated from compared answers; more of them make the interval narrower. Negative: the student has cost more than it saved. Until answers enough were compared there is only a limit: the student's own tokens at the teacher's prices.",
                [
                    (SAVINGS, "estimate"),
                    (LOWER, "at least"),
                    (UPPER, "at most"),
                    (AT_MOST, "not measured yet; at most"),
                ],
                "currencyUSD",
                steps=SIGN,
                none=NOT_MEASURED,
                width=10,
                height=5,
                decimals=2,
            )
        )
        .with_panel(
            figure(
                "Quality kept, with the 95% interval",
                "Share of the teacher's quality that routed traffic keeps, from compared answers; the teacher's own answers count as 1. Savings mean nothing without it.",
                [(QUALITY, "estimate"), (QUALITY_LOWER, "at least"), (QUALITY_UPPER, "at most")],
                "percentunit",
                none=NOT_MEASURED,
                width=9,
                height=5,
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Break-even",
                "The day on which savings reach the investment at the pace of recent days, or on which they did. It takes measured savings and three whole days.",
                f"1000 * {PAYBACK}",
                "time:YYYY-MM-DD",
                none="no date yet",
                width=5,
                height=5,
            )
        )
    )


def _figures(board: dashboard.Dashboard) -> dashboard.Dashboard:
    tokens = f"sum(max without (instance, pod) (breakeven_tokens_total{TEACHER}))"
    cost = f"sum(max without (instance, pod) (breakeven_cost_usd_total{spend.OF_TOKENS}))"
    teacher = f"1e6 * {cost} / ({tokens} > 0)"
    return (
        board.with_panel(
            figure("Investment", "One-time cost of distilling the student.", INVESTMENT, "currencyUSD", width=3)
        )
        .with_panel(
            figure(
                "Paid back",
                "Savings divided by investment; 100% is break-even.",
                RATIO,
                "percentunit",
                steps=[(None, RED), (0, ORANGE), (1, GREEN)],
                none=NOT_MEASURED,
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Saved in the last day",
                "The traffic of the last 24 hours at the estimate for all traffic, minus their spend and hosting.",
                saved("1d"),
                "currencyUSD",
                steps=SIGN,
                none=NOT_MEASURED,
                decimals=2,
            )
        )
        .with_panel(
            figure(
                "Teacher share, last day",
                "Share of the routed requests of the last 24 hours that the teacher answered; pinned ones are excluded.",
                routed_share("1d", 'route="teacher"'),
                "percentunit",
                none="no requests",
                width=5,
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "USD per 1M tokens",
                "Since the start of the ledger: hosting divided by the tokens that the student served, and the teacher's mean price.",
                [(f"max(breakeven_student_usd_per_million_tokens{JOB})", "student"), (teacher, "teacher")],
                "currencyUSD",
                decimals=2,
            )
        )
        .with_panel(
            figure(
                "Comparisons needed",
                "Compared answers that are missing until savings can be estimated; see road.sample.",
                f"max(breakeven_compared_pairs_needed{JOB})",
                "short",
                words=[("none", GREEN)],
            )
        )
    )


def _break_even(board: dashboard.Dashboard) -> dashboard.Dashboard:
    crossed = f"max(breakeven_payback_ratio{JOB} offset $__interval) < 1"
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
                    (f"{SAVINGS} and {RATIO} >= 1 and {crossed}", "break-even"),
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
                width=24,
                height=11,
                dashed=["at most, not measured", "investment"],
                dots=["break-even"],
                band=("lower", "upper"),
            )
        )
        .with_panel(
            lines(
                "Quality kept",
                "Share of the teacher's quality that routed traffic keeps, with its 95% interval, from comparisons.",
                [(QUALITY, "kept"), (QUALITY_LOWER, "lower"), (QUALITY_UPPER, "upper")],
                "percentunit",
                colors={"kept": GREEN, "lower": GREEN, "upper": GREEN},
                band=("lower", "upper"),
                none="not measured yet: see road.sample",
            )
        )
        .with_panel(
            lines(
                "Days until break-even",
                "Falls by one a day while the date is stable; a flat line means that it slips; 0: savings have reached the investment.",
                [(f"clamp_min({PAYBACK} - time(), 0) / 86400", "days")],
                "short",
                colors={"days": BLUE},
                low=0,
                soft=1,
                none="no date yet: it takes measured savings and three whole days",
            )
        )
    )
