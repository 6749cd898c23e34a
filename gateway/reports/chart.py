"""The break-even chart: cumulative savings and the investment over time, as PNG and as text for a terminal."""

from __future__ import annotations

import datetime
from bisect import bisect_left
from pathlib import Path
from typing import Any

from breakeven.gateway.accounting.money import dollars, usd
from breakeven.gateway.ledger.statements import Books
from breakeven.gateway.reports.report import moment
from breakeven.router import plots

_WIDTH, _HEIGHT = 72, 14


def draw(books: Books, path: Path) -> None:
    """Write the chart as PNG: cumulative savings with their 95% interval, the investment, and break-even.

    Raises OSError, and ValueError for an empty ledger, while savings are not measured, or without matplotlib.
    """
    plots.save(drawn(books), path)


def drawn(books: Books) -> Any:
    """The same as a matplotlib figure. Raises ValueError."""
    require(books)
    points, projection, investment = books.curve, books.projection, books.statement.investment
    made, (axes,) = plots.figure(9)
    from matplotlib.dates import date2num

    def when(microseconds: int) -> float:
        return float(date2num(_date(microseconds)))  # type: ignore[no-untyped-call]

    axes.axhline(0, color="grey", linewidth=0.8)
    times = [when(points[0].start), *(when(point.end) for point in points)]
    axes.xaxis_date()
    saved, low, high = (
        [0.0, *(float(usd(getattr(point, name))) for point in points)] for name in ("total", "low", "high")
    )
    end, reached = float(usd(investment)), books.statement.payback_at
    if reached is not None and times[0] < when(reached) < times[-1]:
        _insert(times, (saved, low, high), when(reached), end)
    axes.fill_between(times, low, high, color=plots.BLUE, alpha=0.2, linewidth=0, label="95% interval")
    axes.plot(times, saved, color=plots.BLUE, linewidth=2, label="cumulative savings")
    if investment:
        axes.axhline(float(usd(investment)), color=plots.RED, linestyle="--", label=f"investment {dollars(investment)}")
    if reached is not None:
        axes.plot([when(reached)], [end], "o", color="black", label=f"break-even {moment(reached)[:10]}")
    elif projection is not None:
        axes.plot([times[-1], when(projection.expected)], [saved[-1], end], ":", color=plots.BLUE, label="projection")
        span = [when(projection.early), when(projection.late)]
        axes.plot(span, [end, end], color="black", linewidth=4, alpha=0.4, label="90% interval of the day")
    axes.set(xlabel="day (UTC)", ylabel="USD", title="Cumulative savings, estimated, and investment")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="best")
    axes.tick_params(axis="x", rotation=20)
    return made


def _insert(times: list[float], curves: tuple[list[float], list[float], list[float]], at: float, value: float) -> None:
    """Add the moment `at` to the curve of savings, which has the `value` then, and to the ends of its interval.

    The points of the curve are days, and savings reach the investment within one.
    """
    place = bisect_left(times, at)
    part = (at - times[place - 1]) / (times[place] - times[place - 1])
    saved, *ends = curves
    for values in ends:
        values.insert(place, values[place - 1] + part * (values[place] - values[place - 1]))
    saved.insert(place, value)
    times.insert(place, at)


def text(books: Books, width: int = _WIDTH, height: int = _HEIGHT) -> list[str]:
    """The chart as `height` + 1 lines of text, with `width` columns for the time span; the interval is shaded.

    Raises ValueError for an empty ledger, and while savings are not measured.
    """
    require(books)
    points, investment = books.curve, books.statement.investment
    shown = [points[min(len(points) - 1, column * len(points) // width)] for column in range(width)]
    low = min(0, *(point.low for point in shown))
    high = max(0, investment, *(point.high for point in shown))
    span = max(1, high - low)

    def row(value: int) -> int:
        return (value - low) * (height - 1) // span

    grid = [[" "] * width for _ in range(height)]
    grid[row(0)] = ["·"] * width
    if investment:
        grid[row(investment)] = ["-"] * width
    for column, point in enumerate(shown):
        for index in range(row(point.low), row(point.high) + 1):
            grid[index][column] = "░"
        grid[row(point.total)][column] = "█"
    names = {row(low): dollars(low), row(0): dollars(0), row(high): dollars(high)}
    if investment:
        names[row(investment)] = f"{dollars(investment)} invested"
    margin = max(map(len, names.values()))
    lines = [f"{names.get(index, ''):>{margin}} {''.join(grid[index])}" for index in reversed(range(height))]
    start, end = moment(points[0].start)[:16], moment(points[-1].end)[:16]
    return [*lines, f"{'':>{margin}} {start}{end:>{width - len(start)}}"]


def require(books: Books) -> None:
    """Raise ValueError where there is nothing to draw."""
    if books.statement.pairs_needed:
        raise ValueError(
            f"savings are not measured yet, so there is nothing to draw: {books.statement.pairs_needed} more "
            "comparisons are needed (road.sample)"
        )
    if not books.curve:
        raise ValueError("the ledger is empty: there is nothing to draw yet")


def _date(microseconds: int) -> datetime.datetime:
    # datetime ends with the year 9999, and a projection may lie beyond it.
    latest = int(datetime.datetime(9000, 1, 1, tzinfo=datetime.UTC).timestamp())
    return datetime.datetime.fromtimestamp(min(latest, microseconds // 10**6), datetime.UTC)
