"""The dashboard "Money": savings, spend and the projected break-even date."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from panels import BLUE, GREEN, GREY, JOB, ORANGE, RED, figure, job, lines, row, start

SAVINGS = f"max(breakeven_savings_usd{JOB})"
LOWER, UPPER = f"max(breakeven_savings_usd_lower{JOB})", f"max(breakeven_savings_usd_upper{JOB})"
AT_MOST = f"max(breakeven_savings_upper_bound_usd{JOB})"
BASELINE = f"max(breakeven_baseline_usd{JOB})"
NOT_MEASURED = "not measured yet"
INVESTMENT = f"max(breakeven_investment_usd{JOB})"
RATIO = f"max(breakeven_payback_ratio{JOB})"
TEACHER = job('upstream="teacher"')
SIGN = [(None, RED), (0, GREEN)]


def rate(metric: str, *matchers: str) -> str:
    """A PromQL expression: the increase in USD per hour of a counter from the ledger."""
    return f"3600 * sum(max without (instance, pod) (rate({metric}{job(*matchers)}[$__rate_interval])))"


def saved(function: str, window: str, end: str = "") -> str:
    """A PromQL expression: what `function` (`delta` or `deriv`) gives for savings over `window`, in USD.

    It weighs the traffic of the window with the estimate of now for all traffic; `end` is empty, `_lower` or `_upper`.
    The change of the gauge itself would also contain what better knowledge changed about all earlier traffic. The last
    two terms are the exact spend: the baseline cancels out.
    """
    share = f"max(breakeven_baseline_usd{end}{JOB}) / max(breakeven_baseline_usd_total{JOB})"
    change = {
        name: f"max({function}(breakeven_{name}{JOB}[{window}]))"
        for name in ("baseline_usd_total", "baseline_usd", "savings_usd")
    }
    return f"{share} * {change['baseline_usd_total']} - ({change['baseline_usd']} - {change['savings_usd']})"


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
                "Savings to date, estimated",
                "Baseline minus teacher spend and hosting since the start of the ledger, without pinned requests. The baseline is estimated from compared answers. Negative: the student has cost more than it saved.",
                SAVINGS,
                "currencyUSD",
                steps=SIGN,
                none=NOT_MEASURED,
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
                saved("delta", "1h"),
                "currencyUSD",
                steps=SIGN,
                none=NOT_MEASURED,
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
                "Comparisons still needed",
                "Compared answers that are missing until savings can be estimated; shadow traffic makes them.",
                f"max(breakeven_compared_pairs_needed{JOB})",
                "short",
                width=8,
            )
        )
        .with_panel(
            figure(
                "Student, USD per million tokens",
                "Hosting cost divided by tokens served, since the start of the ledger.",
                f"max(breakeven_student_usd_per_million_tokens{JOB})",
                "currencyUSD",
                width=8,
            )
        )
        .with_row(row("Break-even"))
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
        .with_row(row("Spend"))
        .with_panel(
            lines(
                "Spend per hour, measured",
                "Cost of the teacher at reported tokens, including pinned requests, and the cost of the student's machines, used or idle.",
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
                "Baseline, estimated, and spend, measured",
                "Since the start of the ledger: the bill that the teacher would have written for all routed requests, with its 95% interval, and what was spent in fact: teacher and hosting. The area between them is what was saved.",
                [
                    (BASELINE, "baseline, estimated"),
                    (f"max(breakeven_baseline_usd_lower{JOB})", "lower"),
                    (f"max(breakeven_baseline_usd_upper{JOB})", "upper"),
                    (f"{BASELINE} - {SAVINGS}", "spend, measured"),
                ],
                "currencyUSD",
                colors={"baseline, estimated": GREY, "lower": GREY, "upper": GREY, "spend, measured": ORANGE},
                dashed=["baseline, estimated"],
                low=0,
                band=("lower", "upper"),
            )
        )
        .with_panel(
            lines(
                "Baseline per hour, at most",
                "Teacher's bills, and the student's own tokens at the teacher's prices. A limit and no estimate; it shows the load.",
                [(rate("breakeven_baseline_usd_total"), "at most")],
                "currencyUSD",
                colors={"at most": GREY},
                dashed=["at most"],
                low=0,
            )
        )
        .with_panel(
            lines(
                "Savings per hour, estimated",
                "Rate at which savings grow, at the estimate for all traffic, with its 95% interval. Below zero, the teacher alone would have been cheaper.",
                [
                    (f"3600 * ({saved('deriv', '$__rate_interval')})", "savings"),
                    (f"3600 * ({saved('deriv', '$__rate_interval', '_lower')})", "lower"),
                    (f"3600 * ({saved('deriv', '$__rate_interval', '_upper')})", "upper"),
                ],
                "currencyUSD",
                colors={"savings": GREEN, "lower": GREEN, "upper": GREEN},
                band=("lower", "upper"),
            )
        )
        .with_panel(
            lines(
                "Comparisons",
                "Compared pairs of answers that the estimate rests on, and those that are missing until there is one.",
                [
                    (f"max(breakeven_compared_pairs{JOB})", "compared"),
                    (f"max(breakeven_compared_pairs_needed{JOB})", "needed"),
                ],
                "short",
                colors={"compared": BLUE, "needed": RED},
                low=0,
            )
        )
        .with_panel(
            lines(
                "Teacher cost that was not reported, per hour, estimated",
                "Cost of streams that were cut off and of answers without usage, estimated from what was delivered. Not part of the measured spend.",
                [(rate("breakeven_estimated_cost_usd_total", 'upstream="teacher"'), "teacher, estimated")],
                "currencyUSD",
                colors={"teacher, estimated": GREY},
                dashed=["teacher, estimated"],
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
                "As reported by the upstreams; input is prompt tokens that were neither read from a cache nor written to one.",
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
                "Tokens per second that were not reported, estimated",
                "Tokens of streams that were cut off and of answers without usage, estimated from what was sent and delivered.",
                [
                    (
                        f"sum by (upstream, kind) (max without (instance, pod) (rate(breakeven_estimated_tokens_total{JOB}[$__rate_interval])))",
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
                "Teacher spend per hour, by kind",
                "Cost of the teacher for uncached input, cached input, cache writes, output, and fees such as web searches.",
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
