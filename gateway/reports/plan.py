"""A plan as tables, as JSON values and as plots."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.table import Table

from breakeven.gateway.accounting.money import dollars, exact, usd
from breakeven.gateway.economics.plan import SHARES, VOLUMES, Plan, sensitivity
from breakeven.router import plots


def months(value: float | None) -> str:
    """A number of months with three significant digits; `never` for None."""
    return "never" if value is None else f"{value:.3g}"


def verdict(plan: Plan) -> str:
    """One or two sentences: whether distilling pays, and the monthly volume in tokens from which hosting does."""
    if plan.pays:
        low, high = months(plan.payback_low), months(plan.payback_high)
        span = f"{low} months" if low == high else f"{low} to {high} months"
        return f"Distilling pays: it saves {dollars(plan.saved)} a month and is paid back after {span}."
    said = f"Distilling does not pay: the teacher alone is cheaper by {dollars(-plan.saved)} a month."
    if plan.beats_api_at is None:
        return f"{said} It stays so at any volume of this traffic."
    return f"{said} Hosting is cheaper than the API from {plan.beats_api_at:,} tokens a month."


def render(plan: Plan) -> list[Table]:
    """Two tables: the costs of the plan, and the payback time by volume and teacher share."""
    a = plan.assumptions
    table = Table(title="Plan", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("tokens a month", f"{a.tokens:,}")
    table.add_row("teacher share", f"{float(a.teacher_share):.1%}")
    table.add_section()
    for one in a.one_time:
        table.add_row(f"one-time: {one.name}", _span(one.low, one.high))
    table.add_row("one-time, total", _span(a.low, a.high))
    table.add_section()
    table.add_row("monthly, teacher alone", dollars(plan.before))
    table.add_row("monthly, teacher's share", dollars(plan.teacher_after))
    replicas = f" ({plan.replicas} replica{'s' * (plan.replicas > 1)})" if a.hosting_per_hour else ""
    table.add_row(f"monthly, student{replicas}", dollars(plan.student_after))
    table.add_row("monthly, with the student", dollars(plan.after))
    table.add_row("monthly savings", dollars(plan.saved))
    table.add_section()
    low, high = months(plan.payback_low), months(plan.payback_high)
    table.add_row("payback time, months", low if low == high else f"{low} to {high}")
    if a.hosting_per_hour:
        volume = "no volume" if plan.beats_api_at is None else f"{plan.beats_api_at:,}"
        table.add_row("hosting cheaper than the API from, tokens a month", volume)
    return [table, _sensitivity(plan)]


def to_dict(plan: Plan) -> dict[str, Any]:
    """The plan and its sensitivity table as JSON values; money is USD as exact decimal strings."""
    a = plan.assumptions
    return {
        "tokens_per_month": a.tokens,
        "teacher_share": float(a.teacher_share),
        "replicas": plan.replicas,
        "one_time_usd": {one.name: [exact(one.low), exact(one.high)] for one in a.one_time},
        "investment_usd": [exact(a.low), exact(a.high)],
        "teacher_alone_usd_per_month": exact(plan.before),
        "teacher_usd_per_month": exact(plan.teacher_after),
        "student_usd_per_month": exact(plan.student_after),
        "with_student_usd_per_month": exact(plan.after),
        "saved_usd_per_month": exact(plan.saved),
        "payback_months": [plan.payback_low, plan.payback_high],
        "hosting_beats_api_from_tokens_per_month": plan.beats_api_at,
        "pays": plan.pays,
        "verdict": verdict(plan),
        "sensitivity": [
            {
                "tokens_per_month": other.assumptions.tokens,
                "teacher_share": float(share),
                "saved_usd_per_month": exact(other.saved),
                "payback_months": [other.payback_low, other.payback_high],
            }
            for (_, share), other in sensitivity(a).items()
        ],
    }


def draw(plan: Plan, path: Path) -> None:
    """Write one PNG with two plots: cumulative cost over months, and monthly cost by volume.

    Raises OSError, and ValueError without matplotlib.
    """
    made, (left, right) = plots.figure(11, 4.5, columns=2)
    _draw_months(plan, left)
    _draw_volumes(plan, right)
    plots.save(made, path)


def _draw_months(plan: Plan, axes: Any) -> None:
    before, after = float(usd(plan.before)), float(usd(plan.after))
    end = min(60.0, max(6.0, 2 * (plan.payback_high or 6.0)))
    axes.plot([0, end], [0, before * end], color=plots.RED, label="teacher alone")
    for once, style in {plan.assumptions.high: "--", plan.assumptions.low: "-"}.items():
        start = float(usd(once))
        label = f"student, {dollars(once)} one-time"
        axes.plot([0, end], [start, start + after * end], style, color=plots.BLUE, label=label)
    for paid in {plan.payback_low, plan.payback_high} - {None}:
        if paid is not None and paid <= end:
            axes.plot([paid], [before * paid], "o", color="black")
            # Where no line runs, and within the axes.
            place: dict[str, Any] = {"xytext": (-6, 8), "ha": "right"} if paid > end / 4 else {"xytext": (8, -11)}
            axes.annotate(f"{months(paid)} months", (paid, before * paid), textcoords="offset points", **place)
    axes.set(
        xlabel="months", ylabel="USD", title="Cumulative cost, and when it is paid back", xlim=(0, end), ylim=(0, None)
    )
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)


def _draw_volumes(plan: Plan, axes: Any) -> None:
    a = plan.assumptions
    # Far enough to the right to show the volume at which hosting becomes cheaper.
    far = max(Fraction(2), min(Fraction(20), Fraction(6 * (plan.beats_api_at or 0), 5 * max(1, a.tokens))))
    others = sensitivity(a, [far * step / 100 for step in range(101)], (a.teacher_share,)).values()
    volumes = [other.assumptions.tokens / 1e6 for other in others]
    axes.plot(volumes, [float(usd(o.before)) for o in others], color=plots.RED, label="teacher alone")
    axes.plot(volumes, [float(usd(o.after)) for o in others], color=plots.BLUE, label="with the student")
    if plan.beats_api_at is not None and a.hosting_per_hour and plan.beats_api_at / 1e6 <= max(volumes):
        axes.axvline(plan.beats_api_at / 1e6, color="grey", linestyle=":", label="hosting cheaper than the API")
    axes.axvline(a.tokens / 1e6, color="black", linewidth=0.8, label="this plan")
    axes.set(
        xlabel="million tokens a month", ylabel="USD a month", title="Monthly cost by volume", xlim=(0, max(volumes))
    )
    axes.set_ylim(0, None)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)


def _sensitivity(plan: Plan) -> Table:
    a = plan.assumptions
    shares = tuple(sorted({*SHARES, a.teacher_share}))
    table = Table(title="Payback time in months, at the higher one-time cost, by teacher share", title_justify="left")
    table.add_column("tokens a month", justify="right")
    for share in shares:
        table.add_column(f"{float(share):.0%}", justify="right")
    plans = sensitivity(a, VOLUMES, shares)
    for volume in VOLUMES:
        cells = [months(plans[volume, share].payback_high) for share in shares]
        table.add_row(f"{int(a.tokens * volume):,}", *cells, style="bold" if volume == 1 else None)
    return table


def _span(low: int, high: int) -> str:
    return dollars(low) if low == high else f"{dollars(low)} to {dollars(high)}"
