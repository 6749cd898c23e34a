"""The report: what a period cost, what it would have cost, and whether the investment has paid for itself."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from breakeven.gateway.accounting.money import PICODOLLARS, dollars, exact
from breakeven.gateway.economics.projection import Projection
from breakeven.gateway.economics.statement import Statement, adjusted
from breakeven.gateway.economics.totals import COUNTS, Sum
from breakeven.gateway.ledger import Investment
from breakeven.gateway.ledger.statements import Books
from breakeven.router.policy import Route
from breakeven.router.statistics import Interval


def to_dict(statement: Statement) -> dict[str, Any]:
    """The figures as JSON values; money is USD as exact decimal strings, moments are ISO 8601."""
    per_million = statement.student_per_million
    return {
        "since": moment(statement.since),
        "until": moment(statement.until),
        "requests": statement.requests,
        "upstreams": {
            str(route): {
                "requests": total.requests,
                "attempts": total.attempts,
                "usage_missing": total.usage_missing,
                "tokens": {
                    "input": total.input_tokens,
                    "cached_input": total.cached_input_tokens,
                    "cache_write": total.cache_write_tokens,
                    "output": total.output_tokens,
                },
                "cost_usd": {
                    "input": exact(total.cost_input),
                    "cached_input": exact(total.cost_cached_input),
                    "cache_write": exact(total.cost_cache_write),
                    "output": exact(total.cost_output),
                    "tools": exact(total.cost_tools),
                },
                "estimated": {
                    "input_tokens": total.estimated_input_tokens,
                    "output_tokens": total.estimated_output_tokens,
                    "cost_usd": exact(total.cost_estimated),
                },
            }
            for route, total in statement.upstreams.items()
        },
        "baseline_usd": exact(statement.baseline),
        "teacher_spend_usd": exact(statement.routed_spend),
        "pinned_spend_usd": exact(statement.pinned_spend),
        "hosting_usd": exact(statement.hosting),
        "savings_usd": exact(statement.savings),
        "investment_usd": exact(statement.investment),
        "payback_ratio": statement.payback_ratio,
        "payback_at": None if statement.payback_at is None else moment(statement.payback_at),
        "student_usd_per_million_tokens": None if per_million is None else float(per_million) / PICODOLLARS,
    }


def books_to_dict(books: Books) -> dict[str, Any]:
    """The figures with the curve of savings and where it goes, as JSON values."""
    ends = [(point.end, point.total) for point in books.curve]
    begin = [(books.curve[0].start, 0)] if ends else []
    curve = [{"until": moment(at), "savings_usd": exact(total)} for at, total in (*begin, *ends)]
    return (
        to_dict(books.statement)
        | quality_to_dict(books)
        | {"curve": curve, "projection": projection_to_dict(books.projection)}
    )


def quality_to_dict(books: Books) -> dict[str, Any]:
    """What shadow traffic found and cost, and the baseline that it adjusts, as JSON values; null where it found
    nothing.
    """
    kept, ratio = books.quality
    better = adjusted(books.statement, ratio)
    return {
        "shadow_spend_usd": exact(books.statement.shadow_spend),
        "output_token_ratio": None if ratio is None else float(ratio),
        "baseline_adjusted_usd": None if better is None else exact(better.baseline),
        "savings_adjusted_usd": None if better is None else exact(better.savings),
        "quality_retention": None if kept is None else _bounds(kept.routed) | {"pairs": kept.pairs},
        "student_quality_retention": None if kept is None else _bounds(kept.student),
    }


def _bounds(interval: Interval) -> dict[str, float]:
    return {"estimate": interval.value, "lower": interval.low, "upper": interval.high}


def describe_quality(books: Books) -> list[str]:
    """The same as sentences; none where shadow traffic is off."""
    kept, ratio = books.quality
    better = adjusted(books.statement, ratio)
    spent = books.statement.shadow_spend
    lines = [f"shadow traffic took {dollars(spent)} of the teacher's spend"] if spent else []
    if better is not None:
        lines.append(
            f"measured on {kept.pairs if kept else 0} pairs: the teacher writes {float(better.ratio):.2f} output "
            f"tokens for one of the student's; with that the baseline is {dollars(better.baseline)} and the savings "
            f"{dollars(better.savings)}"
        )
    if kept is not None:
        routed = kept.routed
        lines.append(
            f"quality kept by routed traffic {routed.value:.1%} [{routed.low:.1%}, {routed.high:.1%}], "
            f"by the student's answers {kept.student.value:.1%}"
        )
    return lines


def render(statement: Statement) -> list[Table]:
    """The same for people: one table of traffic, one of money."""
    traffic = Table(title=f"{moment(statement.since)} to {moment(statement.until)}", title_justify="left")
    traffic.add_column("upstream")
    for name in ("requests", "attempts", "input", "cached input", "cache write", "output", "spend"):
        traffic.add_column(name, justify="right")
    for route, total in statement.upstreams.items():
        traffic.add_row(
            str(route),
            *(f"{n:,}" for n in (total.requests, total.attempts)),
            *(f"{n:,}" for n in _token_counts(total)),
            "by the hour" if route is Route.STUDENT else dollars(total.cost),
        )
    money = Table(show_header=False, title="Money", title_justify="left")
    money.add_column()
    money.add_column(justify="right")
    for name, value in _money(statement):
        money.add_row(name, value)
    return [traffic, money]


def _token_counts(total: Sum) -> tuple[int, ...]:
    return total.input_tokens, total.cached_input_tokens, total.cache_write_tokens, total.output_tokens


def groups_to_rows(by: Sequence[str], groups: Sequence[Sum]) -> list[dict[str, Any]]:
    """One flat mapping for each group: its names, counts, and USD as exact decimal strings."""
    return [
        {
            **{name: label(name, value) for name, value in zip(by, total.group, strict=True)},
            **{name: getattr(total, name) for name in COUNTS},
            "cost_usd": exact(total.cost),
            "baseline_usd": exact(total.baseline),
        }
        for total in groups
    ]


def to_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """The rows as CSV with a header line, also where there are none."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def group_columns(by: Sequence[str]) -> tuple[str, ...]:
    """The names of the values in a row of `groups_to_rows`."""
    return (*by, *COUNTS, "cost_usd", "baseline_usd")


def render_groups(by: Sequence[str], groups: Sequence[Sum]) -> Table:
    """The groups for people."""
    table = Table(title=f"By {', '.join(by)}", title_justify="left")
    for name in by:
        table.add_column(name)
    for name in ("requests", "attempts", "tokens", "spend", "baseline"):
        table.add_column(name, justify="right")
    for total in groups:
        table.add_row(
            *(str(label(name, value)) for name, value in zip(by, total.group, strict=True)),
            *(f"{n:,}" for n in (total.requests, total.attempts, total.tokens)),
            dollars(total.cost),
            dollars(total.baseline),
        )
    return table


def label(name: str, value: object) -> object:
    """A group's value for people: days as dates, hours as moments, no key as a dash."""
    if name in ("day", "hour"):
        return moment(int(str(value)))[: 10 if name == "day" else None]
    return value if value != "" else "-"


def projection_to_dict(projection: Projection | None) -> dict[str, Any] | None:
    """The projection as JSON values; None where there is none."""
    if projection is None:
        return None
    moments = {name: getattr(projection, name) for name in ("expected", "early", "late")}
    return {
        "days": projection.days,
        "savings_usd_per_day": exact(projection.per_day),
        **{name: None if at is None else moment(at) for name, at in moments.items()},
    }


def investments_to_rows(invested: Sequence[Investment]) -> list[dict[str, str]]:
    """The investments as JSON values."""
    return [{"name": one.name, "at": moment(one.at), "usd": exact(one.amount)} for one in invested]


def describe_investments(invested: Sequence[Investment]) -> list[str]:
    """One line for each, where there are several."""
    lines = [f"invested {moment(one.at)[:10]}: {dollars(one.amount)} ({one.name})" for one in invested]
    return lines if len(lines) > 1 else []


def describe(projection: Projection | None) -> str:
    """The projection as a sentence."""
    if projection is None:
        return "No projection: it takes an investment that is not yet saved, and three whole days."
    pace = f"At the pace of the last {projection.days} days ({dollars(projection.per_day)} a day)"
    if projection.expected is None and projection.early is None:
        return f"{pace} the investment is never paid back: never at this rate."
    dates = [at if at is None else moment(at)[:10] for at in (projection.expected, projection.early, projection.late)]
    expected, early, late = (date or "never" for date in dates)
    return f"{pace} break-even is expected {expected}; between {early} and {late} in nine of ten draws of days."


def moment(microseconds: int) -> str:
    """Microseconds since the epoch as ISO 8601 in UTC, to the second."""
    return datetime.datetime.fromtimestamp(microseconds // 1_000_000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _money(statement: Statement) -> list[tuple[str, str]]:
    rows = [
        ("baseline: all routed requests at the teacher", dollars(statement.baseline)),
        ("teacher spend", dollars(statement.routed_spend)),
        ("hosting accrued", dollars(statement.hosting)),
        ("savings", dollars(statement.savings)),
    ]
    if statement.pinned_spend:
        rows.append(("pinned teacher spend, outside of this", dollars(statement.pinned_spend)))
    if statement.student_per_million is not None:
        rows.append(("effective student price per million tokens", dollars(int(statement.student_per_million))))
    rows.append(("investment", dollars(statement.investment)))
    if statement.payback_ratio is not None:
        rows.append(("paid back", f"{statement.payback_ratio:.1%}"))
    return [*rows, ("break-even", _break_even(statement))]


def _break_even(statement: Statement) -> str:
    if statement.investment <= 0:
        return "nothing was invested"
    if statement.payback_at is None:
        return "never at this rate"
    verb = "reached" if statement.payback_at <= statement.until else "expected"
    return f"{verb} {moment(statement.payback_at)}"
