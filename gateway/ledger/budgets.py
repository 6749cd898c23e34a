"""Monthly budgets in the ledger: spend by name, and reservations that all gateways on one ledger respect.

A reservation and the check that it fits are one transaction. The record of a request takes its reservation away in the
transaction that adds its cost, so that money is never in neither of the two.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, Executable, delete, func, insert, select, true, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from breakeven.gateway.accounting.record import RequestRecord
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
    spent: dict[str, int] = {}
    # In one order everywhere, so that no two transactions wait for each other. Each row stays locked until the end.
    for name in sorted({one.name for one in wanted}):
        values = {"key": name, "month": month_start(now / 1e6), "cost": 0}
        spent[name] = int(connection.execute(_spend(connection.dialect.name), values).scalar_one())
        connection.execute(delete(holds).where(holds.c.key == name, holds.c.until < now))
    for request, cost in sorted(ended.items()):
        of = holds.c.request == request
        if cost is None:
            connection.execute(delete(holds).where(of))
        else:
            connection.execute(update(holds).where(of).values(amount=cost, running=False))
    return [_fits(connection, one, spent[one.name]) for one in wanted]


def _fits(connection: Connection, one: Hold, spent: int) -> bool:
    others = (holds.c.key == one.name, holds.c.request != one.request)
    running = select(func.count()).select_from(holds).where(*others, holds.c.running == true()).scalar_subquery()
    total = select(func.coalesce(func.sum(holds.c.amount), 0)).where(*others).scalar_subquery()
    held, count = connection.execute(select(total, running)).one()
    known = spent + int(held)
    if known + one.amount > one.budget and (count or known >= one.budget):
        return False
    values = {"key": one.name, "amount": one.amount, "running": True, "until": one.until}
    if not connection.execute(update(holds).where(holds.c.request == one.request).values(values)).rowcount:
        connection.execute(insert(holds), {"request": one.request, **values})
    return True


def add_spend(connection: Connection, records: Sequence[RequestRecord]) -> None:
    """Add what newly stored records cost to what was spent under their names, and take their reservations away."""
    costs: dict[tuple[str, int], int] = {}
    for record in records:
        name = COMPARISONS if record.reason is Reason.SHADOW else record.key
        cost = charged(record) if name else 0
        if name and cost:
            at = name, month_start(record.at / 1e6)
            costs[at] = costs.get(at, 0) + cost
    for (name, month), cost in sorted(costs.items()):
        connection.execute(_spend(connection.dialect.name), {"key": name, "month": month, "cost": cost})
    if connection.scalar(select(holds.c.request).limit(1)) is not None:
        connection.execute(delete(holds).where(holds.c.request.in_([record.id for record in records])))


@functools.cache
def _spend(dialect: str) -> Executable:
    """INSERT that adds to what a name has spent in a month, and gives the sum."""
    upsert = sqlite_insert
    if dialect == "postgresql":
        # Large, and only needed with PostgreSQL.
        from sqlalchemy.dialects.postgresql import insert as upsert  # type: ignore[assignment]
    statement = upsert(key_spend)
    return statement.on_conflict_do_update(
        index_elements=["key", "month"], set_={"cost": key_spend.c.cost + statement.excluded.cost}
    ).returning(key_spend.c.cost)
