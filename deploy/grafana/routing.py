"""The dashboard "Routing": routes, reasons, scores and quality retention."""

from __future__ import annotations

from collections.abc import Sequence

import decisions
from expressions import happened, routed_share
from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models
from panels import BLUE, GREEN, GREY, JOB, ORANGE, RED, figure, job, lines, row, start, states

PHASES = [("comparing", GREY), ("better", ORANGE), ("promoted", GREEN), ("dropped", RED)]
STAGES = [("observe", GREY), ("propose", ORANGE), ("route", BLUE), ("watch", GREEN)]


def share_panel(title: str, description: str, matcher: str) -> Builder[models.Panel]:
    """A stat panel with the share of routed requests of the last hour that match."""
    return figure(title, description, routed_share("1h", matcher), "percentunit", decimals=1, none="no requests")


def place(metric: str, values: Sequence[tuple[str, str]], by: str = "") -> str:
    """A PromQL expression: the place in `values` of the one that a state set is in, by its other label `by`.

    While replicas follow a change, for a few seconds, the later one counts.
    """
    labels = [job(f'{metric}="{name}"') for name, _ in values]
    parts = (f"{number} * {metric}{label}" for number, label in enumerate(labels))
    return f"max by ({by}) ({f' + ignoring ({metric}) '.join(parts)})"


def build() -> dashboard.Dashboard:
    """The builder of the dashboard."""
    board = start(
        "breakeven-routing",
        "Breakeven: Routing",
        "Which upstream answers and why, the router's scores, and the quality of the answers.",
        since="now-7d",
    )
    for add in (_last_hour, _workloads, _quality, _candidate, decisions.add_routes, decisions.add_scores):
        board = add(board)
    return board


def _last_hour(board: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        board.with_row(row("Last hour"))
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
                "Requests per minute",
                "All settled requests, including pinned ones.",
                f"60 * sum(rate(breakeven_requests_total{JOB}[1h]))",
                "reqpm",
                decimals=1,
            )
        )
    )


def _workloads(board: dashboard.Dashboard) -> dashboard.Dashboard:
    compared = f"60 * sum by (direction, result) (rate(breakeven_comparisons_total{JOB}[$__rate_interval]))"
    return (
        board.with_row(row("Workloads"))
        .with_panel(
            states(
                "Stage",
                "observe and propose: the teacher answers everything; route and watch: what is in force routes.",
                place("breakeven_stage", STAGES, "workload"),
                "{{workload}}",
                STAGES,
            )
        )
        .with_panel(
            lines(
                "Margin over the floor",
                "Quality kept since what is in force went live, less the floor; below the red line the floor is at risk. No data before 30 comparisons.",
                [(f"max by (workload) (breakeven_floor_margin{JOB})", "{{workload}}")],
                "percentunit",
                height=6,
                limit=0,
                none="not measured yet: fewer than 30 comparisons of what is in force",
            )
        )
        .with_panel(
            lines(
                "Comparisons per minute, by direction and result",
                "Requests drawn to be compared, by who had answered the client and by result.",
                [
                    (
                        happened(compared, "breakeven_comparisons_total", "direction, result"),
                        "{{direction}}: {{result}}",
                    )
                ],
                "short",
                stack="normal",
                low=0,
                width=24,
                height=7,
                none="nothing was drawn to be compared: see road.sample",
            )
        )
    )


def _quality(board: dashboard.Dashboard) -> dashboard.Dashboard:
    board = board.with_row(row("Quality"))
    for title, description, metric, color in (
        (
            "Quality kept by routed traffic",
            "Share of the teacher's quality with its 95% interval, from comparisons; the teacher's own answers count as 1.",
            "breakeven_quality_retention",
            GREEN,
        ),
        (
            "Quality kept by the student's answers",
            "The same for all answers that the student gave, with its 95% interval: what routing adds is the difference.",
            "breakeven_student_quality_retention",
            BLUE,
        ),
    ):
        board = board.with_panel(
            lines(
                title,
                description,
                [
                    (f"max({metric}{JOB})", "kept"),
                    (f"max({metric}_lower{JOB})", "lower"),
                    (f"max({metric}_upper{JOB})", "upper"),
                ],
                "percentunit",
                colors={"kept": color, "lower": color, "upper": color},
                band=("lower", "upper"),
                none="not measured yet: see road.sample",
            )
        )
    return board


def _candidate(board: dashboard.Dashboard) -> dashboard.Dashboard:
    none = "no candidate in the config"
    compared = f"60 * sum by (result) (rate(breakeven_candidate_comparisons_total{JOB}[$__rate_interval]))"
    ends = [("", "difference"), ("_lower", "lower"), ("_upper", "upper")]
    return (
        board.with_row(row("Candidate for the next student"))
        .with_panel(
            states(
                "Candidate",
                "comparing: neither better nor worse so far; better: it waits for `breakeven candidate promote`; promoted: it is the student; dropped: it is asked no longer.",
                place("breakeven_candidate_phase", PHASES),
                "candidate",
                PHASES,
                width=8,
                none=none,
            )
        )
        .with_panel(
            lines(
                "Candidate less student",
                "Difference of their scores in compared answers, with an interval that holds at all moments together. Above the red line as a whole: the candidate is better.",
                [(f"max(breakeven_candidate_difference{end}{JOB})", legend) for end, legend in ends],
                "none",
                colors=dict.fromkeys(("difference", "lower", "upper"), "purple"),
                band=("lower", "upper"),
                width=8,
                height=6,
                limit=0,
                none=none,
            )
        )
        .with_panel(
            lines(
                "Comparisons of the candidate per minute, by result",
                "Compared requests that the candidate was to answer as well.",
                [(happened(compared, "breakeven_candidate_comparisons_total", "result"), "{{result}}")],
                "short",
                stack="normal",
                low=0,
                width=8,
                height=6,
                none=none,
            )
        )
    )
