"""One batch of settled records into the database: their rows and the hourly sums, in one transaction."""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, Engine, Executable, Table, bindparam, func, insert, select
from sqlalchemy.dialects import sqlite

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.economics.totals import COUNTS, MONEY
from breakeven.gateway.ledger.database import transaction
from breakeven.gateway.ledger.pruning import raw_since
from breakeven.gateway.ledger.rows import (
    KEYS,
    HourlySums,
    Row,
    add_up,
    attempt_rows,
    hourly_rows,
    outcome_rows,
    request_rows,
)
from breakeven.gateway.ledger.schema import attempts, hourly, outcomes, requests

# How many requests are stored between two breaths: some tenths of a millisecond. Their rows are one statement, since
# SQLite's driver lets go of the interpreter for each one and on a busy core has to wait for its turn to get it back. No
# more than fit into the 999 parameters that a SQLite of before 3.32 takes.
_STEP = 999 // max(len(requests.columns), len(attempts.columns))
# One parameter instead of one for each id, which SQLAlchemy writes out each time.
_LIST = func.json_each(bindparam("ids")).table_valued("value")
_IN_A_LIST = select(requests.c.id).where(requests.c.id.in_(select(_LIST.c.value)))


def store(
    engine: Engine, records: list[RequestRecord], breathe: Callable[[], None] | None = None
) -> list[RequestRecord]:
    """Insert those that are not there yet and add them to the hourly sums, in one transaction.

    `breathe` is called between a few rows and the next, where they go to SQLite: that is work for this process, and
    whoever shares a core with it should not wait for all of it. Returns those that it left out: raw rows of their time
    have been removed, so nobody can say whether they were stored before.
    """
    with transaction(engine, write=True) as connection:
        limit = raw_since(connection)
        late = [record for record in records if record.at < limit]
        known = _known(connection, [record.id for record in records])
        fresh = list({r.id: r for r in records if r.at >= limit and r.id not in known}.values())
        step = _STEP if breathe is not None and engine.dialect.name == "sqlite" else max(1, len(fresh))
        sums: HourlySums = {}
        for start in range(0, len(fresh), step):
            if breathe is not None:
                breathe()
            few = fresh[start : start + step]
            _insert(connection, requests, request_rows(few))
            _insert(connection, attempts, attempt_rows(few))
            add_up(few, sums)
        if breathe is not None:
            breathe()
        pairs = outcome_rows(fresh)
        if pairs:
            connection.execute(insert(outcomes), pairs)
        if sums:
            connection.execute(_adding(engine.dialect.name), hourly_rows(sums))
    return late


def _known(connection: Connection, ids: list[str]) -> set[str]:
    """Those of the ids that are stored."""
    if connection.dialect.name != "sqlite":
        return set(connection.scalars(select(requests.c.id).where(requests.c.id.in_(ids))))
    return set(connection.scalars(_IN_A_LIST, {"ids": msgspec.json.encode(ids).decode()}))


def _insert(connection: Connection, table: Table, rows: list[Row]) -> None:
    if connection.dialect.name != "sqlite":
        connection.execute(insert(table), rows)
        return
    for start in range(0, len(rows), _STEP):
        few = rows[start : start + _STEP]
        # To bind a row costs SQLAlchemy several times what SQLite takes to store it.
        head, values, names = _plain_insert(table)
        statement = head + ", ".join([values] * len(few))
        connection.exec_driver_sql(statement, tuple([row[name] for row in few for name in names]))


@functools.cache
def _plain_insert(table: Table) -> tuple[str, str, list[str]]:
    """The statement that inserts rows up to their values, the values of one row, and the order of its columns."""
    compiled = insert(table).compile(dialect=sqlite.dialect())
    assert compiled.positiontup is not None
    head, values, own = str(compiled).partition(" VALUES ")
    return head + values, own, compiled.positiontup


@functools.cache
def _adding(dialect: str) -> Executable:
    """INSERT that adds to the counts and the money of a row of the hourly sums that is there."""
    if dialect == "postgresql":
        # Large, and only needed with such a ledger.
        from sqlalchemy.dialects.postgresql import insert as insert_or_add
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_or_add  # type: ignore[assignment]
    statement = insert_or_add(hourly)
    adding: Executable = statement.on_conflict_do_update(
        index_elements=list(KEYS),
        set_={name: hourly.c[name] + statement.excluded[name] for name in COUNTS + MONEY},
    )
    return adding
