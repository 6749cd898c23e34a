"""The panels of the dashboard "Routing" about decisions, and the scores that they rest on."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models
from panels import BLUE, JOB, ORANGE, RED, Target, heat, job, lines, row

ANSWERED = job('route=~"student|teacher"')
RETRIED = ("escalated", "fallback")
PER_SECOND = "rate(breakeven_requests_total{selector}[$__rate_interval])"


def threshold_panel(title: str, description: str, metric: str, limit: Target) -> Builder[models.Panel]:
    """Three quantiles of a histogram over the last six hours, with `limit`, the query of its threshold with a legend that begins
    with "threshold". The axis is as long as the values need.
    """
    buckets = f"sum by (le) (rate({metric}_bucket{JOB}[6h]))"
    # The comparison leaves out times without requests, for which a quantile is not a number.
    targets = [(f"histogram_quantile({q}, {buckets}) >= 0", f"p{round(100 * q)}") for q in (0.1, 0.5, 0.9)]
    targets.append(limit)
    colors = {"p10": "light-blue", "p50": BLUE, "p90": "dark-blue"}
    return lines(
        title,
        description,
        targets,
        "none",
        colors=colors,
        dashed=["/^threshold/"],
        bridged=True,
        none="no request was scored",
    )


def add_routes(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Who answered, and why."""
    selectors = {reason: job(f'reason="{reason}"') for reason in RETRIED}
    again = [(f"60 * sum({PER_SECOND.format(selector=one)}) or vector(0)", reason) for reason, one in selectors.items()]
    return (
        board.with_row(row("Decisions"))
        .with_panel(
            lines(
                "Routes",
                "Upstreams that answered, as shares of all requests.",
                [(f"sum by (route) ({PER_SECOND.format(selector=ANSWERED)})", "{{route}}")],
                "reqps",
                colors={"student": BLUE, "teacher": ORANGE},
                stack="percent",
                width=8,
            )
        )
        .with_panel(
            lines(
                "Reasons",
                "Reasons of the routing decisions. Requests rejected before a decision are excluded.",
                [(f"60 * sum by (reason) ({PER_SECOND.format(selector=ANSWERED)})", "{{reason}}")],
                "reqpm",
                stack="normal",
                low=0,
                width=8,
            )
        )
        .with_panel(
            lines(
                "Escalations and fallbacks",
                "Requests with more than one attempt; each attempt is billed.",
                again,
                "reqpm",
                colors={"escalated": ORANGE, "fallback": RED},
                low=0,
                soft=0.1,
                width=8,
            )
        )
    )


def add_scores(board: dashboard.Dashboard) -> dashboard.Dashboard:
    """Scores and novelty beside their thresholds."""
    return (
        board.with_row(row("Scores"))
        .with_panel(
            heat(
                "Score",
                "How difficult prompts look, from 0 to 1; darker is more requests.",
                "breakeven_score",
            )
        )
        .with_panel(
            threshold_panel(
                "Score and threshold",
                "Quantiles of the scores of all workloads over six hours. Requests at or above the threshold of their workload go to the teacher; without one all of them do.",
                "breakeven_score",
                (f"max by (workload) (breakeven_threshold{JOB})", "threshold of {{workload}}"),
            )
        )
        .with_panel(
            heat(
                "Novelty",
                "Distance of the prompts from the reference set, as a quantile of it; darker is more requests.",
                "breakeven_novelty",
            )
        )
        .with_panel(
            threshold_panel(
                "Novelty and threshold",
                "Quantiles of the novelty over six hours. More than a few percent of requests at the threshold indicate that the prompts have drifted. Without a line no request goes to the teacher for being novel.",
                "breakeven_novelty",
                (f"max(breakeven_novelty_threshold{JOB}) < 1", "threshold"),
            )
        )
    )
