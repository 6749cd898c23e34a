"""The panels of the dashboard "Money" about spend: measured, estimated, and by kind, workload and key."""

from __future__ import annotations

from expressions import BASELINE, SAVINGS, TEACHER, happened, per_million, rate, saving
from grafana_foundation_sdk.builders import dashboard, timeseries
from panels import BLUE, GREEN, GREY, JOB, ORANGE, RED, job, lines, row

OF_TOKENS = job('upstream="teacher"', 'kind!="tools"')


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
                none="not measured yet: see road.sample",
            )
        )
        .with_panel(
            lines(
                "Savings per hour, estimated",
                "Rate at which savings grow, at the estimate for all traffic, with its 95% interval. Below the red line the teacher alone would have been cheaper.",
                [
                    (saving(), "savings"),
                    (saving("_lower"), "lower"),
                    (saving("_upper"), "upper"),
                ],
                "currencyUSD",
                colors={"savings": GREEN, "lower": GREEN, "upper": GREEN},
                band=("lower", "upper"),
                limit=0,
                none="not measured yet: see road.sample",
            )
        )
        .with_panel(
            lines(
                "Price per million tokens, last six hours",
                "The student's effective price (hosting divided by its tokens) and the teacher's mean price. The student's price falls as its load rises.",
                [
                    (per_million(f"breakeven_hosting_usd_total{JOB}", "student"), "student"),
                    (
                        per_million("breakeven_cost_usd_total" + OF_TOKENS, "teacher"),
                        "teacher",
                    ),
                ],
                "currencyUSD",
                colors={"student": BLUE, "teacher": ORANGE},
                low=0,
                bridged=True,
            )
        )
    )


def add_shares(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Savings and spend by workload and by key."""
    board = board.with_row(row("By workload and key"))
    for name, what in (
        ("workload", "Workloads are named in x-breakeven-workload or by the client key."),
        ("key", "Keys are those of the config; (none) is traffic without a key, (shadow) the teacher's answers for comparisons."),
    ):  # fmt: skip
        board = board.with_panel(
            _shares(
                f"Savings to date by {name}, estimated",
                f"The lines add up to the savings to date; hosting is divided by the tokens that the student served. {what}",
                "savings",
                name,
            )
        ).with_panel(
            _shares(
                f"Teacher spend to date by {name}",
                f"What the teacher was paid for routed requests since the start of the ledger. {what}",
                "teacher_spend",
                name,
            )
        )
    return board


def _shares(title: str, description: str, what: str, name: str) -> timeseries.Panel:
    return lines(
        title,
        description,
        [(f"max by ({name}) (breakeven_{what}_by_{name}_usd{JOB})", f"{{{{{name}}}}}")],
        "currencyUSD",
        none="not measured yet: see road.sample",
    )


def add_kinds(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """What the teacher costs by kind, tokens, and comparisons."""
    by_kind = f"sum by (kind) (max without (instance, pod) (rate(breakeven_cost_usd_total{TEACHER}[$__rate_interval])))"
    tokens = (
        f"sum by (upstream, kind) (max without (instance, pod) (rate(breakeven_tokens_total{JOB}[$__rate_interval])))"
    )
    return (
        board.with_row(row("Kinds of spend, and comparisons"))
        .with_panel(
            lines(
                "Teacher spend per hour, by kind",
                "Cost of the teacher for uncached input, cached input, cache writes, output, and fees such as web searches.",
                [(happened(f"3600 * {by_kind}", "breakeven_cost_usd_total", "kind", 'upstream="teacher"'), "{{kind}}")],
                "currencyUSD",
                stack="normal",
                low=0,
            )
        )
        .with_panel(
            lines(
                "Tokens per minute",
                "As reported by the upstreams; input is prompt tokens that were neither read from a cache nor written to one.",
                [(happened(f"60 * {tokens}", "breakeven_tokens_total", "upstream, kind"), "{{upstream}} {{kind}}")],
                "short",
                stack="normal",
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
                soft=0.01,
            )
        )
        .with_panel(
            lines(
                "Comparisons",
                "Compared pairs of answers that the estimate rests on, and those that are missing until there is one. Once enough of the answers that clients got from the student were compared, only these count, and the line falls.",
                [
                    (f"max(breakeven_compared_pairs{JOB})", "compared"),
                    (f"max(breakeven_compared_pairs_needed{JOB}) > 0", "needed"),
                ],
                "short",
                colors={"compared": BLUE, "needed": RED},
                low=0,
            )
        )
    )


def add_details(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """What is looked at less often, in a row that is closed: limits, what no upstream reported, and replicas."""
    estimated = f"sum by (upstream, kind) (max without (instance, pod) (rate(breakeven_estimated_tokens_total{JOB}[$__rate_interval])))"
    return board.with_row(
        row("Limits, unreported tokens and replicas")
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
                "Teacher cost that was not reported, per hour, estimated",
                "Cost of streams that were cut off and of answers without usage, estimated from what was delivered. Not part of the measured spend.",
                [(rate("breakeven_estimated_cost_usd_total", 'upstream="teacher"'), "teacher, estimated")],
                "currencyUSD",
                colors={"teacher, estimated": GREY},
                dashed=["teacher, estimated"],
                low=0,
                soft=0.01,
            )
        )
        .with_panel(
            lines(
                "Tokens per minute that were not reported, estimated",
                "Tokens of streams that were cut off and of answers without usage, estimated from what was sent and delivered.",
                [(f"60 * {estimated}", "{{upstream}} {{kind}}")],
                "short",
                stack="normal",
                low=0,
                soft=1,
            )
        )
        .with_panel(
            lines(
                "Student replicas, observed",
                "Replicas that were seen running, which is what hosting is paid for. While they are not observed (student.hosting_observed), hosting is by the schedule.",
                [(f"max(breakeven_student_replicas{JOB})", "replicas")],
                "short",
                colors={"replicas": BLUE},
                low=0,
                none="not observed: hosting is by the schedule",
            )
        )
    )
