"""Reading decisions from the ledger: the newest ones, and the scored ones of a period. None has prompt text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, or_, select, true

from breakeven.gateway.economics.traffic import Traffic, stratum, traffic
from breakeven.gateway.ledger.schema import attempts, cost_of, requests
from breakeven.router.policy import Reason

# Enough for the precision of a tenth of a percent; the newest are used.
MAX_SCORED = 200_000
# Requests that are searched for those that match filters.
MAX_SEARCHED = 50_000
_COLUMNS = (
    "id",
    "request_id",
    "at",
    "endpoint",
    "key",
    "workload",
    "stream",
    "route",
    "reason",
    "pinned",
    "score",
    "threshold",
    "novelty",
    "artifact",
    "outcome",
    "status",
    "baseline",
    "seconds",
)


class Scored(NamedTuple):
    """One scored request: time (microseconds since the epoch), score, novelty, and what its baseline is estimated from,
    in picodollars: the teacher's own bill, or the student's tokens at the teacher's prices.
    """

    at: int
    score: float
    novelty: float | None
    known: int
    student_input: int
    student_output: int
    workload: str
    key: str
    size: int

    @property
    def traffic(self) -> Traffic:
        """What its baseline is estimated from."""
        return traffic(self.known, self.student_input, self.student_output, stratum(self.workload, self.key, self.size))


class Wanted(NamedTuple):
    """Which requests: those in [since, before), microseconds since the epoch, with these values; None: any."""

    since: int | None = None
    before: int | None = None
    key: str | None = None
    workload: str | None = None
    route: str | None = None
    reason: str | None = None
    outcome: str | None = None


class Found(NamedTuple):
    """Requests, newest first, and where to read on: `before` of the next page, None where there are no older ones."""

    rows: list[dict[str, Any]]
    next_before: int | None


def last(connection: Connection, limit: int, wanted: Wanted) -> Found:
    """The newest `limit` requests, newest first, each with the number, tokens and cost (picodollars) of its attempts.

    Comparisons are left out. With filters the newest MAX_SEARCHED requests of the period are searched, by the index of
    time, so that a rare value cannot make the database read all of a large ledger.
    """
    c = requests.c
    filters = {name: value for name, value in wanted._asdict().items() if name not in ("since", "before")}
    period = []
    if wanted.since is not None:
        period.append(c.at >= wanted.since)
    if wanted.before is not None:
        period.append(c.at < wanted.before)
    searched = (
        select(c.id, c.at, *(c[name] for name in filters))
        .where(and_(true(), *period))
        .order_by(c.at.desc(), c.id)
        .limit(MAX_SEARCHED)
        .subquery()
        .c
    )
    matches = [searched[name] == value for name, value in filters.items() if value is not None]
    ids = (
        select(searched.id, searched.at)
        .where(searched.reason != Reason.SHADOW.value, *matches)
        .order_by(searched.at.desc(), searched.id)
        .limit(limit)
    )
    found = connection.execute(ids).all()
    if len(found) == limit:
        next_before: int | None = found[-1].at
    else:
        ends = select(c.at).where(and_(true(), *period)).order_by(c.at.desc()).offset(MAX_SEARCHED - 1).limit(1)
        next_before = connection.scalar(ends)
    return Found(_with_attempts(connection, [row.id for row in found]), next_before)


def one(connection: Connection, id: str) -> dict[str, Any] | None:
    """The newest request with this id, the ledger's or that of its answer, as `last` has it; None without one."""
    c = requests.c
    wanted = select(c.id).where(or_(c.id == id, c.request_id == id), c.reason != Reason.SHADOW.value)
    known = connection.scalar(wanted.order_by(c.at.desc()).limit(1))
    rows = _with_attempts(connection, [] if known is None else [known])
    return rows[0] if rows else None


def _with_attempts(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The requests with these ids, newest first, with sums over their attempts."""
    if not ids:
        return []
    columns = [requests.c[name] for name in _COLUMNS]
    statement = (
        select(
            *columns,
            func.count().label("attempts"),
            func.sum(attempts.c.prompt_tokens).label("prompt_tokens"),
            func.sum(attempts.c.output_tokens).label("output_tokens"),
            func.sum(cost_of(attempts)).label("cost"),
        )
        .join_from(requests, attempts, attempts.c.request == requests.c.id)
        .where(requests.c.id.in_(ids))
        .group_by(*columns)
        .order_by(requests.c.at.desc(), requests.c.id)
    )
    return [dict(row) for row in connection.execute(statement).mappings()]


def scored(
    connection: Connection, artifact: str, since: int | None = None, until: int | None = None
) -> Sequence[Scored]:
    """The newest MAX_SCORED requests in [since, until), microseconds, scored by the artifact with this hash.

    Pinned requests are left out.
    """
    c = requests.c
    wanted = [c.artifact == artifact, c.score.is_not(None), c.pinned.is_(False)]
    if since is not None:
        wanted.append(c.at >= since)
    if until is not None:
        wanted.append(c.at < until)
    known = c.baseline - c.baseline_input - c.baseline_output
    columns = (c.at, c.score, c.novelty, known, c.baseline_input, c.baseline_output, c.workload, c.key, c["size"])
    statement = select(*columns).where(and_(*wanted))
    rows = connection.execute(statement.order_by(c.at.desc()).limit(MAX_SCORED))
    return [Scored(*row) for row in rows]
