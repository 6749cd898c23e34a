"""The dashboard "Routing": where requests go, why, and how good the answers stay."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from panels import BLUE, GREY, JOB, ORANGE, RED, figure, heat, job, lines, row, start

ROUTED = job('route=~"student|teacher"', 'reason!="pinned"')
ANSWERED = job('route=~"student|teacher"')
TWICE = job('reason=~"escalated|fallback"')
PER_SECOND = "rate(breakeven_requests_total{selector}[$__rate_interval])"


def share(*matchers: str) -> str:
    """A share of the routed requests of the last hour."""
    part = job('route=~"student|teacher"', 'reason!="pinned"', *matchers)
    whole = f"sum(rate(breakeven_requests_total{ROUTED}[1h]))"
    return f"(sum(rate(breakeven_requests_total{part}[1h])) or vector(0)) / ({whole} > 0)"


def spread(metric: str, limit: str, name: str) -> list[tuple[str, str]]:
    """Quantiles of a histogram of values in [0, 1], and the threshold that they are compared with."""
    buckets = f"sum by (le) (rate({metric}_bucket{JOB}[$__rate_interval]))"
    quantiles = [(f"histogram_quantile({q}, {buckets})", f"p{round(100 * q)}") for q in (0.1, 0.5, 0.9)]
    return [*quantiles, (f"max({limit}{JOB})", name)]


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return (
        start("breakeven-routing", "Breakeven: Routing", "Which upstream answers, why, and what the router sees.")
        .with_row(row("The last hour"))
        .with_panel(
            figure(
                "Teacher share",
                "Routed requests that the teacher answered; pinned ones are outside.",
                share('route="teacher"'),
                "percentunit",
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Difficult",
                "Sent up because the score was at or above the threshold.",
                share('reason="difficult"'),
                "percentunit",
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Novel",
                "Sent up because the prompt is unlike what the student was distilled on.",
                share('reason="novel"'),
                "percentunit",
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Fallback",
                "Answered by the other upstream, because the first one failed.",
                share('reason="fallback"'),
                "percentunit",
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Escalated",
                "Started by the student, answered by the teacher.",
                share('reason="escalated"'),
                "percentunit",
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Requests a second",
                "All that were settled, pinned ones too.",
                f"sum(rate(breakeven_requests_total{JOB}[1h]))",
                "reqps",
            )
        )
        .with_row(row("Quality"))
        .with_panel(
            lines(
                "Quality kept by routed traffic",
                "Share of the teacher's quality, with its 95% interval, from shadow traffic; empty while shadow.rate is 0.",
                [
                    (f"max(breakeven_quality_retention{JOB})", "kept"),
                    (f"max(breakeven_quality_retention_lower{JOB})", "lower"),
                    (f"max(breakeven_quality_retention_upper{JOB})", "upper"),
                ],
                "percentunit",
                colors={"kept": BLUE, "lower": GREY, "upper": GREY},
                dashed=["lower", "upper"],
            )
        )
        .with_panel(
            lines(
                "Shadow traffic",
                "Student answers that were drawn to be put to the teacher too, by what became of them.",
                [(f"sum by (result) (rate(breakeven_shadow_total{JOB}[$__rate_interval]))", "{{result}}")],
                "reqps",
                stack="normal",
                low=0,
            )
        )
        .with_row(row("Decisions"))
        .with_panel(
            lines(
                "Routes",
                "Who answered, as shares of all requests.",
                [(f"sum by (route) ({PER_SECOND.format(selector=ANSWERED)})", "{{route}}")],
                "reqps",
                colors={"student": BLUE, "teacher": ORANGE},
                stack="percent",
            )
        )
        .with_panel(
            lines(
                "Reasons",
                "Why it was that one. Requests that were rejected before a decision are left out.",
                [(f"sum by (reason) ({PER_SECOND.format(selector=ANSWERED)})", "{{reason}}")],
                "reqps",
                stack="normal",
                low=0,
            )
        )
        .with_panel(
            heat(
                "Score",
                "Estimated probability that the student's answer is worse; darker is more requests.",
                "breakeven_score",
            )
        )
        .with_panel(
            lines(
                "Score against its threshold",
                "Quantiles of the scores. What lies at or above the threshold goes to the teacher.",
                spread("breakeven_score", "breakeven_threshold", "threshold"),
                "percentunit",
                colors={"threshold": RED},
                low=0,
                high=1,
                dashed=["threshold"],
            )
        )
        .with_panel(
            heat(
                "Novelty",
                "How far prompts are from the reference set, as a quantile; darker is more requests.",
                "breakeven_novelty",
            )
        )
        .with_panel(
            lines(
                "Novelty against its threshold",
                "Quantiles of the novelties; more than a few per cent at the threshold is a drift of the prompts.",
                spread("breakeven_novelty", "breakeven_novelty_threshold", "threshold"),
                "percentunit",
                colors={"threshold": RED},
                low=0,
                high=1,
                dashed=["threshold"],
            )
        )
        .with_panel(
            lines(
                "Escalations and fallbacks",
                "Requests with more than one attempt; each attempt is paid for.",
                [
                    (
                        f"sum by (reason) ({PER_SECOND.format(selector=TWICE)}) or vector(0)",
                        "{{reason}}",
                    )
                ],
                "reqps",
                low=0,
            )
        )
    )
