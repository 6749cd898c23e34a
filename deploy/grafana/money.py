"""The dashboard "Money": savings, spend and the projected break-even date."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from panels import BLUE, GREEN, GREY, JOB, ORANGE, RED, figure, job, lines, row, start

SAVINGS = f"max(breakeven_savings_usd{JOB})"
INVESTMENT = f"max(breakeven_investment_usd{JOB})"
RATIO = f"max(breakeven_payback_ratio{JOB})"
TEACHER = job('upstream="teacher"')
SIGN = [(None, RED), (0, GREEN)]


def rate(metric: str, *matchers: str) -> str:
    """A PromQL expression: the increase in USD per hour of a counter from the ledger."""
    return f"3600 * sum(max without (instance, pod) (rate({metric}{job(*matchers)}[$__rate_interval])))"


def per_million(cost: str, upstream: str) -> str:
    """A PromQL expression: USD per million tokens of `upstream` over the last hour; `cost` is a counter in USD."""
    served = job(f'upstream="{upstream}"')
    tokens = f"sum(max without (instance, pod) (increase(breakeven_tokens_total{served}[1h])))"
    return f"1e6 * sum(max without (instance, pod) (increase({cost}[1h]))) / ({tokens} > 0)"


def build() -> dashboard.Dashboard:
    """The builder of the dashboard."""
    student = per_million(f"breakeven_hosting_usd_total{JOB}", "student")
    teacher = per_million(f"breakeven_cost_usd_total{TEACHER}", "teacher")
    return (
        start(
            "breakeven-money",
            "Breakeven: Money",
            "What the student saves, what it cost, and when it pays for itself.",
        )
        .with_row(row("Now"))
        .with_panel(
            figure(
                "Savings to date",
                "Baseline minus teacher spend and hosting since the start of the ledger, without pinned requests. Negative: the student has cost more than it saved.",
                SAVINGS,
                "currencyUSD",
                steps=SIGN,
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
                none="nothing invested",
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Break-even",
                "When savings reach the investment at the average rate to date, or the time at which they did.",
                f"1000 * max(breakeven_payback_timestamp_seconds{JOB})",
                "dateTimeAsIsoNoDateIfToday",
                none="never at this rate",
            )
        )
        .with_panel(
            figure(
                "Savings in the last hour",
                "Change of the savings within the last hour.",
                f"max(delta(breakeven_savings_usd{JOB}[1h]))",
                "currencyUSD",
                steps=SIGN,
            )
        )
        .with_panel(
            figure(
                "Student, USD per million tokens",
                "Hosting cost divided by tokens served, since the start of the ledger.",
                f"max(breakeven_student_usd_per_million_tokens{JOB})",
                "currencyUSD",
            )
        )
        .with_row(row("Break-even"))
        .with_panel(
            lines(
                "Savings and investment",
                "Cumulative savings and the investment. The dot is the break-even point, if it is in this time range.",
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
                "The projected date over time. A flat line means that the date is stable, a rising one that it slips; no line: never at this rate.",
                [(f"1000 * max(breakeven_payback_timestamp_seconds{JOB})", "break-even")],
                "dateTimeAsIso",
                width=8,
                height=10,
            )
        )
        .with_row(row("Spend"))
        .with_panel(
            lines(
                "Spend per hour, measured",
                "Token cost of the teacher, including pinned requests, and the cost of the student's machines, used or idle.",
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
                "Baseline per hour, hypothetical",
                "What the routed requests would have cost if all had gone to the teacher.",
                [(rate("breakeven_baseline_usd_total"), "baseline")],
                "currencyUSD",
                colors={"baseline": GREY},
                dashed=["baseline"],
                low=0,
            )
        )
        .with_panel(
            lines(
                "Savings per hour",
                "Rate at which savings grow. Below zero, the teacher alone would have been cheaper.",
                [(f"3600 * max(deriv(breakeven_savings_usd{JOB}[$__rate_interval]))", "savings")],
                "currencyUSD",
                colors={"savings": GREEN},
                fill=20,
            )
        )
        .with_panel(
            lines(
                "Baseline adjusted for answer length, hypothetical",
                "The baseline with the teacher's answer lengths as measured by shadow traffic, and the one with the student's token counts. No data while shadow.rate is 0.",
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
                "Shadow traffic spend per hour",
                "Cost of the teacher's answers to sampled requests and of judging them; part of the teacher's spend.",
                [(f"3600 * max(rate(breakeven_shadow_usd_total{JOB}[$__rate_interval]))", "shadow")],
                "currencyUSD",
                colors={"shadow": ORANGE},
                low=0,
            )
        )
        .with_panel(
            lines(
                "Price per million tokens, last hour",
                "The student's effective price (hosting divided by its tokens) and the teacher's mean price. The student's price falls as its load rises.",
                [(student, "student"), (teacher, "teacher")],
                "currencyUSD",
                colors={"student": BLUE, "teacher": ORANGE},
                low=0,
            )
        )
        .with_panel(
            lines(
                "Tokens per second",
                "As reported by the upstreams; input is uncached prompt tokens.",
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
                "Teacher spend per hour, by kind of token",
                "Token cost of the teacher for uncached input, cached input and output.",
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
