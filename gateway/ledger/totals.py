"""Sums of counts and money in the ledger, over any period and in any grouping."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy import Integer as SqlInteger

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.economics.totals import COSTS, COUNTS, MONEY, STRATA, Hour, Sum, add, traffic_of
from breakeven.gateway.economics.traffic import Stratum, Traffic, Value, stratum
from breakeven.gateway.ledger.pruning import raw_since
from breakeven.gateway.ledger.rows import KEYS
from breakeven.gateway.ledger.schema import attempts, cost_of, hourly, requests
from breakeven.router.policy import Reason

# SUM over 64-bit picodollars would overflow at 9 million USD, so the two halves of each amount are summed separately.
_HALF = 10**9
# A `day` is the number of days since the epoch in UTC, an `hour` likewise.
GROUPS = ("day", *KEYS)

_Part = tuple[Select[tuple[object, ...]], Column[object]]


def read(
    connection: Connection,
    group_by: Sequence[str] = (),
    since: int | None = None,
    until: int | None = None,
    reason: Reason | None = None,
) -> list[Sum]:
    """Sums over [since, until), in microseconds since the epoch, sorted by group; `group_by`: names in GROUPS.

    With a `reason` only requests with that reason count. Whole hours are read from the hourly sums, parts of hours at
    the ends of the period from the raw rows. Raises ValueError for an unknown group, and for a period that cuts an hour
    whose raw rows were deleted.
    """
    unknown = set(group_by) - set(GROUPS)
    if unknown:
        raise ValueError(f"cannot group by {', '.join(sorted(unknown))}; choose among {', '.join(GROUPS)}")
    _require_raw_rows(connection, since, until)
    merged: dict[tuple[object, ...], list[Sum]] = {} if group_by else {(): []}
    for statement, of in _parts(group_by, since, until):
        for row in connection.execute(statement if reason is None else statement.where(of == reason.value)).all():
            one = _sum(row, len(group_by))
            merged.setdefault(one.group, []).append(one)
    totals = [parts[0] if len(parts) == 1 else add(parts, group) for group, parts in merged.items()]
    return sorted(totals, key=attrgetter("group"))


def hours(connection: Connection, until: int | None = None, keys: Collection[str] = ()) -> list[Hour]:
    """The routed traffic of each hour, and its cost, before `until` (microseconds), in chronological order.

    Of the client keys only `keys` are strata of their own.

    An hour with only pinned traffic is included, with zeros. Raises ValueError as `read` does.
    """
    c = hourly.c
    halves: list[object] = []
    known = c.baseline - c.baseline_input - c.baseline_output
    for money in (known, c.baseline_input, c.baseline_output, cost_of(hourly)):
        of_routed = case((c.pinned.is_(False), money), else_=0)
        halves += [func.sum(of_routed // _HALF), func.sum(of_routed % _HALF)]
    first: list[ColumnElement[int]] = [literal_column(str(index)) for index in (1, 2, 3, 4)]
    own = case((and_(c.workload == DEFAULT_WORKLOAD, c.key.in_(keys)), c.key), else_="")
    strata = [c.workload, own, c["size"]]
    statement = select(c.hour, *strata, *halves).group_by(*first).order_by(*first)
    if until is not None:
        statement = statement.where(c.hour < until // HOUR)
    rows = connection.execute(statement).all()
    found = [_hour(hour, of) for hour, of in itertools.groupby(rows, key=itemgetter(0))]
    if until is not None and until % HOUR:
        by = ("pinned", *STRATA)
        cut = read(connection, by, until // HOUR * HOUR, until)
        if cut:
            routed = [one for one in cut if not one.group[0]]
            for one in routed:
                _, workload, key, size = one.group
                one.group = (False, workload, key if key in keys else "", size)
            found.append(Hour(until // HOUR, traffic_of(routed, by), add(routed).cost))
    return found


def _hour(hour: int, rows: Iterable[Sequence[Any]]) -> Hour:
    """One hour from its rows: hour, workload, key, size class, and four amounts in two halves each."""
    known = spend = 0
    student: dict[Stratum, Value] = {}
    for _, workload, key, size, *halves in rows:
        billed, input, output, cost = _whole(halves)
        known, spend = known + billed, spend + cost
        if input or output:
            student[stratum(workload, key, size)] = Value(input, output)
    return Hour(hour, Traffic(known, student), spend)


def _parts(group_by: Sequence[str], since: int | None, until: int | None) -> Iterator[_Part]:
    """SELECTs for the whole hours of a period and for the parts of hours at its ends, each with its reason column."""
    first = None if since is None else -(-since // HOUR)
    last = None if until is None else until // HOUR
    if since is not None and until is not None and first is not None and last is not None and first > last:
        yield _from_rows(group_by, since, until), requests.c.reason
        return
    yield _from_hours(group_by, first, last), hourly.c.reason
    if since is not None and first is not None and since < first * HOUR:
        yield _from_rows(group_by, since, first * HOUR), requests.c.reason
    if until is not None and last is not None and until > last * HOUR:
        yield _from_rows(group_by, last * HOUR, until), requests.c.reason


def _require_raw_rows(connection: Connection, since: int | None, until: int | None) -> None:
    cut = [moment for moment in (since, until) if moment is not None and moment % HOUR]
    if cut and min(cut) // HOUR * HOUR < raw_since(connection):
        raise ValueError("a period so far back must begin and end at whole hours: only its hourly sums are kept")


def _sum(row: Sequence[object], groups: int) -> Sum:
    values = [int(value or 0) for value in row[groups:]]  # type: ignore[call-overload]
    counts, halves = values[: len(COUNTS)], values[len(COUNTS) :]
    return Sum(tuple(row[:groups]), *counts, *_whole(halves))


def _whole(halves: Sequence[int]) -> list[int]:
    # PostgreSQL's sums are decimals.
    return [int(high) * _HALF + int(low) for high, low in zip(halves[::2], halves[1::2], strict=True)]


def _from_hours(group_by: Sequence[str], first: int | None, last: int | None) -> Select[tuple[object, ...]]:
    keys = [hourly.c.hour // 24 if name == "day" else hourly.c[name] for name in group_by]
    wanted: list[object] = [*keys, *(func.sum(hourly.c[name]) for name in COUNTS)]
    for name in MONEY:
        wanted += [func.sum(hourly.c[name] // _HALF), func.sum(hourly.c[name] % _HALF)]
    period = []
    if first is not None:
        period.append(hourly.c.hour >= first)
    if last is not None:
        period.append(hourly.c.hour < last)
    statement = select(*wanted).where(and_(True, *period))  # type: ignore[call-overload]
    return statement.group_by(*_positions(keys))  # type: ignore[no-any-return]


def _from_rows(group_by: Sequence[str], since: int, until: int) -> Select[tuple[object, ...]]:
    a, r = attempts.c, requests.c
    columns = {
        "day": r.at // (24 * HOUR),
        "hour": r.at // HOUR,
        "upstream": a.upstream,
        "provider": a.provider,
        **{name: r[name] for name in ("pinned", "endpoint", "route", "reason", "key", *STRATA)},
    }
    keys = [columns[name] for name in group_by]
    last = cast(a["last"], SqlInteger) if isinstance(a["last"].type, Boolean) else a["last"]
    missing = case((a.usage_missing.is_(True), 1), else_=0)
    wanted: list[object] = [
        *keys,
        func.sum(last),
        func.count(),
        func.sum(missing),
        func.sum(a.prompt_tokens - a.cached_tokens - a.cache_write_tokens),
        func.sum(a.cached_tokens),
        func.sum(a.cache_write_tokens),
        func.sum(a.output_tokens),
        func.sum(a.estimated_prompt_tokens),
        func.sum(a.estimated_output_tokens),
    ]
    of_request = [case((a["last"], r[name]), else_=0) for name in ("baseline", "baseline_input", "baseline_output")]
    for column in (*(a[name] for name in COSTS), a.cost_estimated, *of_request):
        wanted += [func.sum(column // _HALF), func.sum(column % _HALF)]
    statement = select(*wanted).join_from(attempts, requests, a.request == r.id)  # type: ignore[call-overload]
    statement = statement.where(r.at >= since, r.at < until)
    return statement.group_by(*_positions(keys))  # type: ignore[no-any-return]


def _positions(keys: Sequence[object]) -> list[object]:
    return [literal_column(str(index + 1)) for index in range(len(keys))]
