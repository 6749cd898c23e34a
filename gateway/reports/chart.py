"""The break-even chart: cumulative savings and the investment over time, as PNG and as text for a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from breakeven.gateway.accounting.money import dollars, usd
from breakeven.gateway.economics.projection import Point, Projection
from breakeven.gateway.reports.report import moment
from breakeven.router import plots

_WIDTH, _HEIGHT = 72, 14


def draw(points: Sequence[Point], projection: Projection | None, investment: int, path: Path) -> None:
    """Write the chart as PNG: `points` in order of time, `investment` in picodollars.

    Raises OSError, and ValueError for an empty ledger or without matplotlib.
    """
    _require(points)
    made, (axes,) = plots.figure(9)
    from matplotlib.dates import date2num

    def when(microseconds: int) -> float:
        return float(date2num(_date(microseconds)))  # type: ignore[no-untyped-call]

    axes.axhline(0, color="grey", linewidth=0.8)
    times = [when(points[0].start), *(when(point.end) for point in points)]
    axes.xaxis_date()
    saved = [0.0, *(float(usd(point.total)) for point in points)]
    axes.plot(times, saved, color=plots.BLUE, linewidth=2, label="cumulative savings")
    if investment:
        axes.axhline(float(usd(investment)), color=plots.RED, linestyle="--", label=f"investment {dollars(investment)}")
    reached = next((point for point in points if investment and point.total >= investment), None)
    if reached is not None:
        label = f"break-even {moment(reached.end)[:10]}"
        axes.plot([when(reached.end)], [float(usd(reached.total))], "o", color="black", label=label)
    elif projection is not None and projection.expected is not None:
        end = float(usd(investment))
        axes.plot([times[-1], when(projection.expected)], [saved[-1], end], ":", color=plots.BLUE, label="projection")
        if projection.early is not None and projection.late is not None:
            span = [when(projection.early), when(projection.late)]
            axes.plot(span, [end, end], color="black", linewidth=4, alpha=0.4, label="90% interval")
    axes.set(ylabel="USD", title="Cumulative savings and investment")
    axes.legend(frameon=False, loc="best")
    axes.tick_params(axis="x", rotation=20)
    plots.save(made, path)


def text(points: Sequence[Point], investment: int, width: int = _WIDTH, height: int = _HEIGHT) -> list[str]:
    """The chart as `height` + 1 lines of text, with `width` columns for the time span; `investment` in picodollars.

    Raises ValueError for an empty ledger.
    """
    _require(points)
    values = [points[min(len(points) - 1, column * len(points) // width)].total for column in range(width)]
    low, high = min(0, *values), max(0, investment, *values)
    span = max(1, high - low)

    def row(value: int) -> int:
        return (value - low) * (height - 1) // span

    grid = [[" "] * width for _ in range(height)]
    grid[row(0)] = ["·"] * width
    if investment:
        grid[row(investment)] = ["-"] * width
    for column, value in enumerate(values):
        grid[row(value)][column] = "█"
    names = {row(low): dollars(low), row(0): dollars(0), row(high): dollars(high)}
    if investment:
        names[row(investment)] = f"{dollars(investment)} invested"
    margin = max(map(len, names.values()))
    lines = [f"{names.get(index, ''):>{margin}} {''.join(grid[index])}" for index in reversed(range(height))]
    start, end = moment(points[0].start)[:16], moment(points[-1].end)[:16]
    return [*lines, f"{'':>{margin}} {start}{end:>{width - len(start)}}"]


def _require(points: Sequence[Point]) -> None:
    if not points:
        raise ValueError("the ledger is empty: there is nothing to draw yet")


def _date(microseconds: int) -> datetime.datetime:
    # datetime ends with the year 9999, and a projection may lie beyond it.
    latest = int(datetime.datetime(9000, 1, 1, tzinfo=datetime.UTC).timestamp())
    return datetime.datetime.fromtimestamp(min(latest, microseconds // 10**6), datetime.UTC)
