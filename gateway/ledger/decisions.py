"""Reading decisions from the ledger: the newest ones, and the scored ones of a period. None has prompt text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, select

from breakeven.gateway.economics.traffic import Traffic, stratum, traffic
from breakeven.gateway.ledger.schema import attempts, cost_of, requests
from breakeven.router.policy import Reason

# Enough for the precision of a tenth of a percent; the newest are used.
MAX_SCORED = 200_000
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


def last(connection: Connection, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """The newest `limit` requests, newest first, each with the number, tokens and cost (picodollars) of its attempts.

    `before`: only older requests, microseconds since the epoch. Comparisons are left out.
    """
    columns = [requests.c[name] for name in _COLUMNS]
    cost = cost_of(attempts)
    statement = (
        select(
            *columns,
            func.count().label("attempts"),
            func.sum(attempts.c.prompt_tokens).label("prompt_tokens"),
            func.sum(attempts.c.output_tokens).label("output_tokens"),
            func.sum(cost).label("cost"),
        )
        .join_from(requests, attempts, attempts.c.request == requests.c.id)
        .where(requests.c.reason != Reason.SHADOW.value)
        .group_by(*columns)
        .order_by(requests.c.at.desc(), requests.c.id)
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(requests.c.at < before)
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
