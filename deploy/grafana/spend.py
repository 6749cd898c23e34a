"""The panels of the dashboard "Money" about spend: measured, estimated, and by kind."""

from __future__ import annotations

from expressions import BASELINE, SAVINGS, TEACHER, per_million, rate, saving
from grafana_foundation_sdk.builders import dashboard, timeseries
from panels import BLUE, GREEN, GREY, JOB, ORANGE, RED, job, lines, row


def add_totals(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """The estimated baseline beside the measured spend, and savings over time."""
    return (
        board.with_row(row("Spend"))
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
                "Savings per hour, estimated",
                "Rate at which savings grow, at the estimate for all traffic, with its 95% interval. Below zero, the teacher alone would have been cheaper.",
                [
                    (saving(), "savings"),
                    (saving("_lower"), "lower"),
                    (saving("_upper"), "upper"),
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
        .with_panel(_shares("workload", "Workloads are named in x-breakeven-workload or by the client key."))
        .with_panel(_shares("key", "Keys are those of the config; (none) is traffic without a key."))
    )


def _shares(name: str, what: str) -> timeseries.Panel:
    return lines(
        f"Savings to date by {name}, estimated",
        f"The lines add up to the savings to date; hosting is divided by the tokens that the student served. {what}",
        [(f"max by ({name}) (breakeven_savings_by_{name}_usd{JOB})", f"{{{{{name}}}}}")],
        "currencyUSD",
    )


def add_rates(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """What the teacher costs: its kinds, comparisons, and what it did not report."""
    return (
        board.with_panel(
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
                "Spend on comparisons per hour",
                "Cost of the teacher's answers to compared requests and of judging; part of the spend.",
                [(f"3600 * max(rate(breakeven_shadow_usd_total{JOB}[$__rate_interval]))", "comparisons")],
                "currencyUSD",
                colors={"comparisons": ORANGE},
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


def add_tokens(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Prices and tokens."""
    student = per_million(f"breakeven_hosting_usd_total{JOB}", "student")
    of_tokens = job('upstream="teacher"', 'kind!="tools"')
    teacher = per_million(f"breakeven_cost_usd_total{of_tokens}", "teacher")
    return (
        board.with_panel(
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
                "Student replicas, observed",
                "Replicas that were seen running, which is what hosting is paid for. Empty while they are not observed (student.hosting_observed): then hosting is by the schedule.",
                [(f"max(breakeven_student_replicas{JOB})", "replicas")],
                "short",
                colors={"replicas": BLUE},
                low=0,
            )
        )
    )
