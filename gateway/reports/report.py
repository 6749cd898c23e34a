"""The report of a period as JSON values and CSV. Its tables and sentences are in `report_text`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from breakeven.gateway.accounting.money import PICODOLLARS, exact
from breakeven.gateway.economics.baseline import Estimate
from breakeven.gateway.economics.projection import Projection
from breakeven.gateway.economics.shares import Share
from breakeven.gateway.economics.statement import Statement
from breakeven.gateway.economics.totals import COUNTS, Sum
from breakeven.gateway.ledger import Investment
from breakeven.gateway.ledger.reported import Reported
from breakeven.gateway.ledger.statements import Books, Group
from breakeven.gateway.wire import moments
from breakeven.router.policy import Route
from breakeven.router.statistics import Interval

_LAST_SECOND = 253_402_300_799


class Report(NamedTuple):
    """What `breakeven report` shows.

    `groups` are sums for each value of `by`, which names what they are grouped by; both are empty without grouping.
    `price_sets` counts the different sets of prices and hosting rates with which gateways write to the ledger.
    `reported` has the provider's own prices of the period; `has_student` is whether the config has a student;
    `entered_pairs` is how many comparisons came from outcome rows.
    """

    books: Books
    by: Sequence[str]
    groups: Sequence[Group]
    investments: Sequence[Investment]
    price_sets: int
    reported: Reported = Reported(0, 0, 0)
    has_student: bool = True
    entered_pairs: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; money is USD as exact decimal strings, moments are ISO 8601."""
        return (
            books_to_dict(self.books)
            | {
                "investments": investments_to_rows(self.investments),
                "price_sets": self.price_sets,
                "entered_pairs": self.entered_pairs,
            }
            | reported_to_dict(self.reported)
            | ({"groups": groups_to_rows(self.by, self.groups)} if self.by else {})
        )


def statement_to_dict(statement: Statement) -> dict[str, Any]:
    """A statement as JSON values; money is USD as exact decimal strings, moments are ISO 8601.

    What is estimated is null until answers enough were compared.
    """
    per_million = statement.student_per_million
    return {
        "since": moment(statement.since),
        "until": moment(statement.until),
        "requests": statement.requests,
        "upstreams": {str(route): _upstream(total) for route, total in statement.upstreams.items()},
        **_estimate("baseline_usd", statement.baseline),
        "baseline_upper_bound_usd": exact(statement.traffic.upper_bound),
        "teacher_spend_usd": exact(statement.routed_spend),
        "pinned_spend_usd": exact(statement.pinned_spend),
        "models_spend_usd": exact(statement.upstreams[Route.MODEL].cost),
        "models": [{"model": one.group[0], **_upstream(one)} for one in statement.models],
        "hosting_usd": exact(statement.hosting),
        "hosting_observed": observed_to_dict(statement),
        **_estimate("savings_usd", statement.savings),
        "savings_upper_bound_usd": exact(statement.savings_upper_bound),
        "compared_pairs": statement.pairs,
        "compared_pairs_needed": statement.pairs_needed,
        "investment_usd": exact(statement.investment),
        "payback_ratio": statement.payback_ratio,
        "student_usd_per_million_tokens": None if per_million is None else float(per_million) / PICODOLLARS,
        "by_workload": [_share(one, "workload") for one in statement.by_workload],
        "by_key": [_share(one, "key") for one in statement.by_key],
    }


def observed_to_dict(statement: Statement) -> dict[str, float | None]:
    """What was observed of the student's replicas as JSON values; null where it was not measured."""
    observed = statement.observed
    full_load = observed.at_full_load(statement.student_per_million)
    return {
        "share": observed.share,
        "replicas": observed.last,
        "mean_replicas": observed.mean_replicas,
        "idle_share": observed.idle_share,
        "share_without_tokens": observed.share_without_tokens,
        "full_load_usd_per_million_tokens": None if full_load is None else float(full_load) / PICODOLLARS,
    }


def _upstream(total: Sum) -> dict[str, Any]:
    return {
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


def _share(one: Share, name: str) -> dict[str, Any]:
    return {
        name: one.name,
        "requests": one.requests,
        **_estimate("baseline_usd", one.baseline),
        "baseline_upper_bound_usd": exact(one.upper_bound),
        "teacher_spend_usd": exact(one.spend),
        "hosting_usd": exact(one.hosting),
        **_estimate("savings_usd", one.savings),
    }


def _estimate(name: str, estimate: Estimate | None) -> dict[str, str | None]:
    """An estimate and the ends of its 95% interval, USD; null while it is not known."""
    ends = (None,) * 3 if estimate is None else (estimate.value, estimate.low, estimate.high)
    names = (name, f"{name}_lower", f"{name}_upper")
    return {one: None if end is None else exact(end) for one, end in zip(names, ends, strict=True)}


def books_to_dict(books: Books) -> dict[str, Any]:
    """The statement, the quality measured by comparisons, the curve of cumulative savings, its projection, and the
    break-even date, as JSON values.
    """
    ends = [(point.end, point.total) for point in books.curve]
    begin = [(books.curve[0].start, 0)] if ends else []
    curve = [{"until": moment(at), "savings_usd": exact(total)} for at, total in (*begin, *ends)]
    return (
        statement_to_dict(books.statement)
        | quality_to_dict(books)
        | {
            "payback_at": None if books.payback_at is None else moment(books.payback_at),
            "curve": curve,
            "projection": projection_to_dict(books.projection),
            "by_provider": providers_to_rows(books.providers),
        }
    )


def providers_to_rows(found: Sequence[Sum]) -> list[dict[str, Any]]:
    """What each of the teacher's providers was paid as JSON values; the first one's name is `teacher`."""
    return [
        {
            "provider": one.group[0] or Route.TEACHER.value,
            "attempts": one.attempts,
            "tokens": one.tokens,
            "cost_usd": exact(one.cost),
            "estimated_cost_usd": exact(one.cost_estimated),
        }
        for one in found
    ]


def quality_to_dict(books: Books) -> dict[str, Any]:
    """The cost and results of comparisons as JSON values.

    Quality is a share of the teacher's with its 95% interval. Results are null where no pairs were compared. Pairs that
    a judge scored whose verdicts measure nothing are left out.
    """
    kept, ratio, unrouted, judges = books.quality
    return {
        "shadow_spend_usd": exact(books.statement.shadow_spend),
        "output_token_ratio": None if ratio is None else float(ratio),
        "quality_retention": None if kept is None else _bounds(kept.routed) | {"pairs": kept.pairs},
        "student_quality_retention": None if kept is None else _bounds(kept.student),
        "unrouted_quality_retention": None if unrouted is None else _bounds(unrouted[1]) | {"pairs": unrouted[0]},
        "judges": [one.to_dict() for one in judges],
    }


def _bounds(interval: Interval) -> dict[str, float]:
    return {"estimate": interval.value, "lower": interval.low, "upper": interval.high}


def groups_to_rows(by: Sequence[str], groups: Sequence[Group]) -> list[dict[str, Any]]:
    """One flat mapping for each group: its values of `by`, its counts, and USD as exact decimal strings.

    The estimated baseline is null until answers enough were compared.
    """
    return [
        {
            **{name: label(name, value) for name, value in zip(by, total.group, strict=True)},
            **{name: getattr(total, name) for name in COUNTS},
            "cost_usd": exact(total.cost),
            "baseline_usd": None if baseline is None else exact(baseline.value),
            "baseline_upper_bound_usd": exact(total.baseline),
        }
        for total, baseline in groups
    ]


def reported_to_dict(reported: Reported) -> dict[str, str | None]:
    """The provider's own price of the attempts that it reported one of, and their counted cost, USD; null for none."""
    sums = {"reported_cost_usd": reported.price, "counted_cost_usd_of_reported": reported.counted}
    return {name: exact(value) if reported.attempts else None for name, value in sums.items()}


def to_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """The rows as CSV text; the header line is there even without rows."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def group_columns(by: Sequence[str]) -> tuple[str, ...]:
    """The keys of a row of `groups_to_rows`, in order: the CSV columns."""
    return (*by, *COUNTS, "cost_usd", "baseline_usd", "baseline_upper_bound_usd")


def label(name: str, value: object) -> object:
    """The printed value of the group key `name`: a date for a day, ISO 8601 for an hour, a dash for an empty value."""
    if name in ("day", "hour"):
        return moment(int(str(value)))[: 10 if name == "day" else None]
    return value if value != "" else "-"


def projection_to_dict(projection: Projection | None) -> dict[str, Any] | None:
    """The projection as JSON values: USD as exact decimal strings, dates as ISO 8601."""
    if projection is None:
        return None
    return {
        "days": projection.days,
        "savings_usd_per_day": exact(projection.per_day),
        **{name: moment(getattr(projection, name)) for name in ("expected", "early", "late")},
    }


def investments_to_rows(invested: Sequence[Investment]) -> list[dict[str, str]]:
    """The investments as JSON values: name, date as ISO 8601, USD as an exact decimal string."""
    return [{"name": one.name, "at": moment(one.at), "usd": exact(one.amount)} for one in invested]


def moment(microseconds: int) -> str:
    """Microseconds since the epoch as ISO 8601 in UTC, to the second; what is later than the year 9999 is its end."""
    return moments.moment(min(microseconds // 1_000_000, _LAST_SECOND))
