"""The table that the demo prints at the end."""

from __future__ import annotations

from typing import Any

from rich.table import Table

_NOT_MEASURED = "not measured yet"


def table(figures: dict[str, Any]) -> Table:
    """The figures as a table."""
    shown, upstreams = figures["shown"], figures["upstreams"]
    table = Table(title="Summary", title_justify="left")
    for name, justify in (("", "left"), ("student", "right"), ("teacher", "right"), ("total", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    both = [upstreams["student"], upstreams["teacher"]]

    def counts(name: str, values: list[int]) -> None:
        table.add_row(name, *(f"{value:,}" for value in (*values, sum(values))))

    if figures["workload"] is not None:
        _story(table, figures, figures["workload"])
        table.add_section()
    counts("requests", [of["requests"] for of in both])
    counts("prompt tokens", [of["tokens"]["input"] + of["tokens"]["cached_input"] for of in both])
    counts("output tokens", [of["tokens"]["output"] for of in both])
    table.add_row("spend", f"{shown['hosting']} hosting", shown["spend"], "")
    table.add_row(f"  of it for {figures['compared_pairs']} comparisons", "", shown["shadow"], "")
    table.add_section()
    table.add_row("baseline: all prompts sent to the teacher", "", "", shown["baseline"])
    table.add_row("  by the teacher's recorded answers, known here", "", "", shown["by_teacher"])
    table.add_row("savings (95% interval)", "", "", shown["savings"])
    table.add_row("  by the teacher's recorded answers, known here", "", "", shown["saved_by_teacher"])
    table.add_row("investment", "", "", shown["investment"])
    table.add_row("paid back so far", "", "", _percent(figures["payback_ratio"]))
    table.add_row("break-even", "", "", str(figures["payback_at"] or "no date: it takes three full days"))
    table.add_section()
    _quality(table, figures)
    if figures["failed"]:
        table.add_row("failed requests", "", "", str(figures["failed"]))
    return table


def _story(table: Table, figures: dict[str, Any], workload: dict[str, Any]) -> None:
    """What the stages were, and what was promised."""
    table.add_row("answered by the teacher, the student compared", "", "", f"{figures['observed_requests']:,} requests")
    table.add_row("routed after that", "", "", f"{figures['routed_requests']:,} requests")
    promised = workload["in_force"]
    if promised is None:
        table.add_row("promised to keep of the teacher's quality", "", "", f"nothing: stage {workload['stage']}")
        return
    text = f"promised to keep, from {promised['comparisons']} comparisons"
    table.add_row(text, "", "", f"at least {promised['low']:.1%}")


def _quality(table: Table, figures: dict[str, Any]) -> None:
    table.add_row("quality kept of the teacher's (95% interval)", "", "", f"{figures['routed_requests']:,} requests")
    share = figures["teacher_share"]
    to_teacher = "" if share is None else f", {share:.1%} of them to the teacher"
    for name, text in (
        ("quality_kept_by_student", "  the student alone"),
        ("quality_kept", f"  routed{to_teacher}"),
        ("quality_kept_by_chance", "  at random with the same share"),
        ("quality_kept_at_best", "  the best possible with the same share"),
    ):
        table.add_row(text, "", "", _kept(figures, name))


def _kept(figures: dict[str, Any], name: str) -> str:
    value, low, high = (figures[name + end] for end in ("", "_lower", "_upper"))
    if value is None:
        return _NOT_MEASURED if not figures["routed_requests"] else "-"
    return f"{value:.1%}" if low is None else f"{value:.1%} ({low:.1%} to {high:.1%})"


def _percent(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, float) else "-"
