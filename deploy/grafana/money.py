"""The dashboard "Money": is it paying for itself, and when will it have."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from panels import BLUE, GREEN, GREY, JOB, ORANGE, RED, figure, job, lines, row, start

SAVINGS = f"max(breakeven_savings_usd{JOB})"
INVESTMENT = f"max(breakeven_investment_usd{JOB})"
RATIO = f"max(breakeven_payback_ratio{JOB})"
TEACHER = job('upstream="teacher"')
SIGN = [(None, RED), (0, GREEN)]


def rate(metric: str, *matchers: str) -> str:
    """USD an hour of a counter of the ledger."""
    return f"3600 * sum(max without (instance, pod) (rate({metric}{job(*matchers)}[$__rate_interval])))"


def per_million(cost: str, upstream: str) -> str:
    """USD per million tokens over the last hour."""
    served = job(f'upstream="{upstream}"')
    tokens = f"sum(max without (instance, pod) (increase(breakeven_tokens_total{served}[1h])))"
    return f"1e6 * sum(max without (instance, pod) (increase({cost}[1h]))) / ({tokens} > 0)"


def build() -> dashboard.Dashboard:
    """The dashboard."""
    student = per_million(f"breakeven_hosting_usd_total{JOB}", "student")
    teacher = per_million(f"breakeven_cost_usd_total{TEACHER}", "teacher")
    return (
        start(
            "breakeven-money",
            "Breakeven: Money",
            "What the student saves, what it cost, and when it has paid for itself.",
        )
        .with_row(row("Now"))
        .with_panel(
            figure(
                "Savings so far",
                "Baseline minus teacher spend and hosting, from the beginning of the ledger, without pinned requests. Negative: the student has cost more than it saved.",
                SAVINGS,
                "currencyUSD",
                steps=SIGN,
            )
        )
        .with_panel(figure("Investment", "What distilling cost once.", INVESTMENT, "currencyUSD"))
        .with_panel(
            figure(
                "Paid back",
                "Savings over investment; 100 % is break-even.",
                RATIO,
                "percentunit",
                steps=[(None, RED), (0, ORANGE), (1, GREEN)],
                none="nothing invested",
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Break-even",
                "When savings reach, or reached, the investment at the average pace so far.",
                f"1000 * max(breakeven_payback_timestamp_seconds{JOB})",
                "dateTimeAsIsoNoDateIfToday",
                none="never at this rate",
            )
        )
        .with_panel(
            figure(
                "Saved in the last hour",
                "How savings changed within an hour.",
                f"max(delta(breakeven_savings_usd{JOB}[1h]))",
                "currencyUSD",
                steps=SIGN,
            )
        )
        .with_panel(
            figure(
                "Student, USD per million tokens",
                "Hosting over tokens served, from the beginning of the ledger.",
                f"max(breakeven_student_usd_per_million_tokens{JOB})",
                "currencyUSD",
            )
        )
        .with_row(row("Break-even"))
        .with_panel(
            lines(
                "Savings against the investment",
                "Savings pile up until they reach the investment. The dot is the break-even point, where it lies in this time range.",
                [
                    (SAVINGS, "savings"),
                    (INVESTMENT, "investment"),
                    (
                        f"{SAVINGS} and {RATIO} >= 1 and max(breakeven_payback_ratio{JOB} offset $__rate_interval) < 1",
                        "break-even",
                    ),
                ],
                "currencyUSD",
                colors={"savings": BLUE, "investment": RED, "break-even": GREEN},
                width=16,
                height=10,
                dashed=["investment"],
                dots=["break-even"],
            )
        )
        .with_panel(
            lines(
                "Break-even date",
                "The expected date, over time. A level line keeps its promise; a rising one slips. No line: never at this rate.",
                [(f"1000 * max(breakeven_payback_timestamp_seconds{JOB})", "break-even")],
                "dateTimeAsIso",
                width=8,
                height=10,
            )
        )
        .with_row(row("Spend"))
        .with_panel(
            lines(
                "Spend an hour, measured",
                "What the attempts at the teacher cost by the token (pinned requests among them) and what the student's machines cost, used or idle.",
                [
                    (rate("breakeven_cost_usd_total", 'upstream="teacher"'), "teacher"),
                    (rate("breakeven_hosting_usd_total"), "hosting"),
                ],
                "currencyUSD",
                colors={"teacher": ORANGE, "hosting": BLUE},
                stack="normal",
                low=0,
            )
        )
        .with_panel(
            lines(
                "Baseline an hour, counterfactual",
                "What the routed requests would have cost with the teacher alone. It was never paid.",
                [(rate("breakeven_baseline_usd_total"), "baseline")],
                "currencyUSD",
                colors={"baseline": GREY},
                dashed=["baseline"],
                low=0,
            )
        )
        .with_panel(
            lines(
                "Saved an hour",
                "How fast savings grow. Below zero the teacher alone would have been cheaper.",
                [(f"3600 * max(deriv(breakeven_savings_usd{JOB}[$__rate_interval]))", "saved")],
                "currencyUSD",
                colors={"saved": GREEN},
                fill=20,
            )
        )
        .with_panel(
            lines(
                "Baseline with the teacher's own length, counterfactual",
                "The baseline if the teacher's answers are as long as shadow traffic measured, beside the one with the student's token counts; empty while shadow.rate is 0.",
                [
                    (f"max(breakeven_baseline_adjusted_usd{JOB})", "adjusted"),
                    (f"max(breakeven_baseline_usd_total{JOB})", "baseline"),
                ],
                "currencyUSD",
                colors={"adjusted": GREEN, "baseline": GREY},
                dashed=["baseline"],
                low=0,
            )
        )
        .with_panel(
            lines(
                "Shadow traffic's spend an hour",
                "What second answers and their judging take, as part of the teacher's spend.",
                [(f"3600 * max(rate(breakeven_shadow_usd_total{JOB}[$__rate_interval]))", "shadow")],
                "currencyUSD",
                colors={"shadow": ORANGE},
                low=0,
            )
        )
        .with_panel(
            lines(
                "Price of a million tokens over an hour",
                "The student's effective price (hosting over its tokens) against what the teacher's tokens cost. The student's falls with its load.",
                [(student, "student"), (teacher, "teacher")],
                "currencyUSD",
                colors={"student": BLUE, "teacher": ORANGE},
                low=0,
            )
        )
        .with_panel(
            lines(
                "Tokens a second",
                "As the upstreams reported them; input means uncached.",
                [
                    (
                        f"sum by (upstream, kind) (max without (instance, pod) (rate(breakeven_tokens_total{JOB}[$__rate_interval])))",
                        "{{upstream}} {{kind}}",
                    )
                ],
                "short",
                stack="normal",
                low=0,
            )
        )
        .with_panel(
            lines(
                "Teacher spend an hour, by kind of token",
                "Cached prompt tokens are cheaper.",
                [
                    (
                        f"3600 * sum by (kind) (max without (instance, pod) (rate(breakeven_cost_usd_total{TEACHER}[$__rate_interval])))",
                        "{{kind}}",
                    )
                ],
                "currencyUSD",
                stack="normal",
                low=0,
            )
        )
    )
