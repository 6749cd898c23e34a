"""The provider's own prices of answers, beside what the same attempts were counted at."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, func, select

from breakeven.gateway.ledger.schema import attempts, cost_of, requests
from breakeven.router.policy import Route

# SUM over 64-bit picodollars would overflow at 9 million USD, so the two halves of each amount are summed separately.
_HALF = 10**9


class Reported(NamedTuple):
    """The attempts whose price the provider reported: their number, that price, and the counted cost, picodollars."""

    attempts: int
    price: int
    counted: int

    @property
    def difference(self) -> int:
        """The provider's price minus the counted cost, picodollars."""
        return self.price - self.counted


def reported(connection: Connection, since: int | None = None, until: int | None = None) -> Reported:
    """The teacher's attempts with a reported price in [since, until), microseconds since the epoch.

    Comparisons and pinned traffic are included; raw rows that were deleted are not.
    """
    a, r = attempts.c, requests.c
    wanted: list[ColumnElement[int]] = [func.count()]
    for money in (a.cost_reported, cost_of(attempts)):
        wanted += [func.sum(money // _HALF), func.sum(money % _HALF)]
    statement = select(*wanted).where(a.cost_reported.is_not(None), a.upstream == Route.TEACHER.value)
    if since is not None or until is not None:
        statement = statement.join_from(attempts, requests, a.request == r.id)
    if since is not None:
        statement = statement.where(r.at >= since)
    if until is not None:
        statement = statement.where(r.at < until)
    count, *halves = (int(value or 0) for value in connection.execute(statement).one())
    price, counted = (high * _HALF + low for high, low in zip(halves[::2], halves[1::2], strict=True))
    return Reported(count, price, counted)
