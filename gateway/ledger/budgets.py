"""Monthly budgets in the ledger: spend by name, and reservations that all gateways on one ledger respect.

A reservation and the check that it fits are one transaction. The record of a request takes its reservation away in the
transaction that adds its cost, so that money is never in neither of the two.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, Executable, Integer, bindparam, cast, delete, func, insert, select, update

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger.budget_tables import COMPARISONS, holds, key_spend
from breakeven.gateway.ledger.tables import Tables
from breakeven.router.policy import Reason


def month_start(seconds: float) -> int:
    """The start of the UTC calendar month of a time in seconds since the epoch, in microseconds since the epoch."""
    now = datetime.fromtimestamp(seconds, UTC)
    return int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp() * 1e6)


def charged(record: RequestRecord) -> int:
    """What a record counts against a budget, in picodollars: its cost as reported, and as estimated where nobody
    reported it.
    """
    return sum(attempt.cost.total + attempt.cost_estimated for attempt in record.attempts)


# Adds to what a name has spent in a month, and gives the sum: for SQLite without SQLAlchemy, which takes several times
# as long as the database.
_ADD = (
    "INSERT INTO key_spend (key, month, cost) VALUES (?, ?, ?) "
    "ON CONFLICT (key, month) DO UPDATE SET cost = cost + excluded.cost RETURNING cost"
)


class Hold(NamedTuple):
    """A request for a reservation: the request's id, the name that pays, the most that it may cost altogether and the
    budget (picodollars), and the time in microseconds since the epoch after which the reservation is void.
    """

    request: str
    name: str
    amount: int
    budget: int
    until: int


class BudgetStore(Tables):
    """The tables of budgets. Times are microseconds since the epoch, money is in picodollars."""

    def spent(self, month: int) -> Mapping[str, int]:
        """What each name has spent in the month that begins at `month`. Raises LedgerError."""
        statement = select(key_spend.c.key, key_spend.c.cost).where(key_spend.c.month == month)
        return self._read(lambda connection: {name: int(cost) for name, cost in connection.execute(statement)})

    def reserve(self, wanted: Sequence[Hold], ended: Mapping[str, int | None], now: int) -> list[bool]:
        """Reserve what fits, in this order; whether each does. `ended`: requests that have ended, with their cost, None
        for one that leaves no record.

        What fits is within the budget together with what is spent and held. A name with nothing running gets one
        request as long as its budget is not spent, whatever that may cost: else nobody could use what is left. Raises
        LedgerError.
        """
        return self._write(lambda connection: _reserve(connection, wanted, ended, now))


def _reserve(connection: Connection, wanted: Sequence[Hold], ended: Mapping[str, int | None], now: int) -> list[bool]:
    names = sorted({one.name for one in wanted})
    # In one order everywhere, so that no two transactions wait for each other. Each row stays locked until the end.
    spent = {name: _add(connection, name, month_start(now / 1e6), 0) for name in names}
    _end(connection, ended)
    connection.execute(delete(holds).where(holds.c.key.in_(names), holds.c.until < now))
    of = {name: _Name(spent[name]) for name in names}
    of_name, c = holds.c.key.in_(names), holds.c
    sums = select(c.key, func.sum(c.amount), func.sum(cast(c.running, Integer))).where(of_name).group_by(c.key)
    for name, amount, running in connection.execute(sums):
        of[name].held(int(amount), int(running))
    before = select(c.request, c.key, c.amount, c.running)
    for request, name, amount, running in connection.execute(
        before.where(of_name, c.request.in_([one.request for one in wanted]))
    ):
        of[name].by_request[request] = int(amount), running
    fits = [of[one.name].take(one) for one in wanted]
    taken = {one.request: one for one, fit in zip(wanted, fits, strict=True) if fit}
    if taken:
        connection.execute(delete(holds).where(holds.c.request.in_(list(taken))))
        rows = [
            {"request": one.request, "key": one.name, "amount": one.amount, "running": True, "until": one.until}
            for one in taken.values()
        ]
        connection.execute(insert(holds), rows)
    return fits


class _Name:
    """What one name has spent and holds. `by_request`: the amount that a request holds, and whether it is running."""

    def __init__(self, spent: int) -> None:
        self._known = spent
        self._running = 0
        self.by_request: dict[str, tuple[int, bool]] = {}

    def held(self, amount: int, running: int) -> None:
        """Add what is held, and how many requests are running."""
        self._known += amount
        self._running += running

    def take(self, one: Hold) -> bool:
        """Hold what is wanted in place of what the same request held, if it fits."""
        before, running = self.by_request.get(one.request, (0, False))
        known, others = self._known - before, self._running - running
        if known + one.amount > one.budget and (others or known >= one.budget):
            return False
        self.by_request[one.request] = one.amount, True
        self._known, self._running = known + one.amount, others + 1
        return True


def _end(connection: Connection, ended: Mapping[str, int | None]) -> None:
    """Let requests that have ended hold what they cost, until their records are stored; nothing without a record."""
    gone = [request for request, cost in ended.items() if cost is None]
    if gone:
        connection.execute(delete(holds).where(holds.c.request.in_(gone)))
    rows = [{"of": request, "cost": cost} for request, cost in sorted(ended.items()) if cost is not None]
    if rows:
        # One that is stored already has no row any more.
        change = update(holds).where(holds.c.request == bindparam("of"))
        connection.execute(change.values(amount=bindparam("cost"), running=False), rows)


def add_spend(connection: Connection, records: Sequence[RequestRecord]) -> None:
    """Add what newly stored records cost to what was spent under their names, and take their reservations away."""
    costs: dict[tuple[str, int], int] = {}
    for record in records:
        name = COMPARISONS if record.reason is Reason.SHADOW else record.key
        cost = charged(record) if name else 0
        if name and cost:
            at = name, _month_of(record.at // HOUR)
            costs[at] = costs.get(at, 0) + cost
    for (name, month), cost in sorted(costs.items()):
        _add(connection, name, month, cost)
    # Nearly always there is none: asked without SQLAlchemy's parameters, which cost more than the answer.
    if connection.exec_driver_sql("SELECT 1 FROM holds LIMIT 1").first() is not None:
        connection.execute(delete(holds).where(holds.c.request.in_([record.id for record in records])))


def _add(connection: Connection, name: str, month: int, cost: int) -> int:
    """Add to what a name has spent in a month; returns the sum."""
    if connection.dialect.name == "sqlite":
        return int(connection.exec_driver_sql(_ADD, (name, month, cost)).scalar_one())
    values = {"key": name, "month": month, "cost": cost}
    return int(connection.execute(_spend(), values).scalar_one())


@functools.lru_cache(maxsize=64)
def _month_of(hour: int) -> int:
    return month_start(hour * HOUR / 1e6)


@functools.cache
def _spend() -> Executable:
    """The same statement for PostgreSQL."""
    # Large, and only needed with PostgreSQL.
    from sqlalchemy.dialects.postgresql import insert as upsert

    statement = upsert(key_spend)
    return statement.on_conflict_do_update(
        index_elements=["key", "month"], set_={"cost": key_spend.c.cost + statement.excluded.cost}
    ).returning(key_spend.c.cost)
