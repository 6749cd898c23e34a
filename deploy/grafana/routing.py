"""The dashboard "Routing": routes, reasons, scores and quality retention."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models
from panels import BLUE, GREEN, GREY, JOB, ORANGE, RED, Target, figure, heat, job, lines, row, start, states

ROUTED = job('route=~"student|teacher"', 'reason!="pinned"')
ANSWERED = job('route=~"student|teacher"')
RETRIED = job('reason=~"escalated|fallback"')
STAGES = [("observe", GREY), ("propose", ORANGE), ("route", BLUE), ("watch", GREEN)]
PER_SECOND = "rate(breakeven_requests_total{selector}[$__rate_interval])"


def share(*matchers: str) -> str:
    """A PromQL expression: the share of the routed requests of the last hour that match `matchers`."""
    part = job('route=~"student|teacher"', 'reason!="pinned"', *matchers)
    whole = f"sum(rate(breakeven_requests_total{ROUTED}[1h]))"
    return f"(sum(rate(breakeven_requests_total{part}[1h])) or vector(0)) / ({whole} > 0)"


def share_panel(title: str, description: str, matcher: str) -> Builder[models.Panel]:
    """A stat panel with the share of routed requests of the last hour that match."""
    return figure(title, description, share(matcher), "percentunit", decimals=1)


def threshold_panel(title: str, description: str, metric: str, limit: Target) -> Builder[models.Panel]:
    """Three quantiles of a histogram of values in [0, 1] over time, with `limit`, the query of its threshold with a
    legend that begins with "threshold".
    """
    buckets = f"sum by (le) (rate({metric}_bucket{JOB}[$__rate_interval]))"
    targets = [(f"histogram_quantile({q}, {buckets})", f"p{round(100 * q)}") for q in (0.1, 0.5, 0.9)]
    targets.append(limit)
    colors = {"threshold": RED}
    return lines(title, description, targets, "percentunit", colors=colors, low=0, high=1, dashed=["/^threshold/"])


def stage() -> str:
    """A PromQL expression: the place of each workload's stage in `STAGES`.

    While replicas follow a change, for a few seconds, the later one counts.
    """
    labels = [job(f'breakeven_stage="{name}"') for name, _ in STAGES]
    parts = (f"{place} * breakeven_stage{label}" for place, label in enumerate(labels))
    return f"max by (workload) ({' + ignoring (breakeven_stage) '.join(parts)})"


def build() -> dashboard.Dashboard:
    """The builder of the dashboard."""
    return (
        start(
            "breakeven-routing",
            "Breakeven: Routing",
            "Which upstream answers and why, the router's scores, and the quality of the answers.",
        )
        .with_row(row("Last hour"))
        .with_panel(
            share_panel(
                "Teacher share",
                "Share of routed requests answered by the teacher; pinned requests are excluded.",
                'route="teacher"',
            )
        )
        .with_panel(
            share_panel(
                "Difficult",
                "Routed to the teacher because the score was at or above the threshold.",
                'reason="difficult"',
            )
        )
        .with_panel(
            share_panel(
                "Novel",
                "Routed to the teacher because the prompt is far from the data that the student was distilled on.",
                'reason="novel"',
            )
        )
        .with_panel(
            share_panel(
                "Fallback",
                "Answered by the other upstream because the first one failed.",
                'reason="fallback"',
            )
        )
        .with_panel(
            share_panel(
                "Escalated",
                "Started by the student, answered by the teacher.",
                'reason="escalated"',
            )
        )
        .with_panel(
            figure(
                "Requests per second",
                "All settled requests, including pinned ones.",
                f"sum(rate(breakeven_requests_total{JOB}[1h]))",
                "reqps",
            )
        )
        .with_row(row("Workloads"))
        .with_panel(
            states(
                "Stage",
                "observe and propose: the teacher answers everything; route and watch: what is in force routes.",
                stage(),
                "{{workload}}",
                STAGES,
            )
        )
        .with_panel(
            lines(
                "Margin over the floor",
                "Quality kept since what is in force went live, less the floor; below zero the floor is at risk. No data before 30 comparisons.",
                [(f"max by (workload) (breakeven_floor_margin{JOB})", "{{workload}}")],
                "percentunit",
                height=6,
            )
        )
        .with_panel(
            lines(
                "Comparisons, by direction and result",
                "Requests drawn to be compared, by who had answered the client and by result.",
                [
                    (
                        f"sum by (direction, result) (rate(breakeven_comparisons_total{JOB}[$__rate_interval]))",
                        "{{direction}} {{result}}",
                    )
                ],
                "reqps",
                stack="normal",
                low=0,
                width=24,
            )
        )
        .with_row(row("Quality"))
        .with_panel(
            lines(
                "Quality retained by routed traffic",
                "Share of the teacher's quality with its 95% interval, from comparisons. No data while road.sample is 0.",
                [
                    (f"max(breakeven_quality_retention{JOB})", "retained"),
                    (f"max(breakeven_quality_retention_lower{JOB})", "lower"),
                    (f"max(breakeven_quality_retention_upper{JOB})", "upper"),
                ],
                "percentunit",
                colors={"retained": BLUE, "lower": GREY, "upper": GREY},
                dashed=["lower", "upper"],
            )
        )
        .with_row(row("Decisions"))
        .with_panel(
            lines(
                "Routes",
                "Upstreams that answered, as shares of all requests.",
                [(f"sum by (route) ({PER_SECOND.format(selector=ANSWERED)})", "{{route}}")],
                "reqps",
                colors={"student": BLUE, "teacher": ORANGE},
                stack="percent",
            )
        )
        .with_panel(
            lines(
                "Reasons",
                "Reasons of the routing decisions. Requests rejected before a decision are excluded.",
                [(f"sum by (reason) ({PER_SECOND.format(selector=ANSWERED)})", "{{reason}}")],
                "reqps",
                stack="normal",
                low=0,
            )
        )
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
                "Quantiles of the scores of all workloads. Requests at or above the threshold of their workload go to the teacher; without one all of them do.",
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
                "Quantiles of the novelty. More than a few percent of requests at the threshold indicate that the prompts have drifted.",
                "breakeven_novelty",
                (f"max(breakeven_novelty_threshold{JOB})", "threshold"),
            )
        )
        .with_panel(
            lines(
                "Escalations and fallbacks",
                "Requests with more than one attempt; each attempt is billed.",
                [
                    (
                        f"sum by (reason) ({PER_SECOND.format(selector=RETRIED)}) or vector(0)",
                        "{{reason}}",
                    )
                ],
                "reqps",
                low=0,
            )
        )
    )
