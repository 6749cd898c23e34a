"""Storing a batch of settled records: their rows and the hourly sums, in one transaction."""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, Engine, Executable, Table, bindparam, func, insert, select
from sqlalchemy.dialects import sqlite

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.economics.totals import COUNTS, MONEY
from breakeven.gateway.ledger.budgets import add_spend
from breakeven.gateway.ledger.conversation_tables import conversations
from breakeven.gateway.ledger.database import transaction
from breakeven.gateway.ledger.judged import verdict_rows
from breakeven.gateway.ledger.pruning import raw_since
from breakeven.gateway.ledger.rows import (
    KEYS,
    HourlySums,
    Row,
    add_up,
    attempt_rows,
    comparison_rows,
    hourly_rows,
    outcome_rows,
    request_rows,
)
from breakeven.gateway.ledger.schema import attempts, comparisons, hourly, outcomes, requests

# How many requests are stored before yielding the GIL: some tenths of a millisecond. Their rows are one statement,
# since SQLite's driver releases the GIL for each statement, and on a busy core has to wait to get it back. Few enough
# for the limit of 999 parameters per statement in SQLite before 3.32.
_STEP = 999 // max(len(requests.columns), len(attempts.columns))
# A batch takes milliseconds. What waits longer is tried again, on another connection.
_SECONDS = 15.0
# One parameter for all ids; with one each, SQLAlchemy would build the statement anew each time.
_LIST = func.json_each(bindparam("ids")).table_valued("value")
_IN_A_LIST = select(requests.c.id).where(requests.c.id.in_(select(_LIST.c.value)))


def store(
    engine: Engine,
    records: list[RequestRecord],
    yield_gil: Callable[[], None] | None = None,
    doubtful: set[str] | None = None,
) -> list[RequestRecord]:
    """Insert records that are not stored yet and add them to the hourly sums, in one transaction.

    `yield_gil` is called between groups of rows with SQLite, which does its work in this process: requests on the same
    core then do not wait for the whole batch. `doubtful`: the ids of those that may have been stored before, None for
    all; those of a transaction that may have been committed are added. Returns those of them that were left out because
    they are older than the pruned rows, so that nobody knows. Raises SQLAlchemyError, and OverflowError.
    """
    with transaction(engine, write=True, seconds=_SECONDS) as connection:
        # In this order: PostgreSQL shows each statement what was committed before it, and rows are deleted only after
        # the mark was. The other way round a row that is deleted in between would be neither known nor late.
        known = _known(connection, [record.id for record in records])
        limit = raw_since(connection)
        late = {r.id: r for r in records if r.at < limit and (doubtful is None or r.id in doubtful)}
        fresh = list({r.id: r for r in records if r.id not in late and r.id not in known}.values())
        step = _STEP if yield_gil is not None and engine.dialect.name == "sqlite" else max(1, len(fresh))
        sums: HourlySums = {}
        for start in range(0, len(fresh), step):
            if yield_gil is not None:
                yield_gil()
            few = fresh[start : start + step]
            _insert(connection, requests, request_rows(few))
            _insert(connection, attempts, attempt_rows(few))
            add_up(few, sums)
        if yield_gil is not None:
            yield_gil()
        pairs = outcome_rows(fresh)
        if pairs:
            connection.execute(insert(outcomes), pairs)
            connection.execute(insert(comparisons), comparison_rows(fresh))
            judged = verdict_rows(fresh)
            if judged:
                connection.execute(insert(conversations), judged)
        if sums:
            connection.execute(_upsert(engine.dialect.name), hourly_rows(sums))
        if fresh:
            add_spend(connection, fresh)
        if doubtful is not None:
            doubtful.update(record.id for record in records)
    return [record for record in late.values() if record.id not in known]


def _known(connection: Connection, ids: list[str]) -> set[str]:
    """Which of the ids are stored already."""
    if connection.dialect.name != "sqlite":
        return set(connection.scalars(select(requests.c.id).where(requests.c.id.in_(ids))))
    return set(connection.scalars(_IN_A_LIST, {"ids": msgspec.json.encode(ids).decode()}))


def _insert(connection: Connection, table: Table, rows: list[Row]) -> None:
    if connection.dialect.name != "sqlite":
        connection.execute(insert(table), rows)
        return
    if not rows:
        return
    head, values, names = _plain_insert(table, tuple(rows[0]))
    for start in range(0, len(rows), _STEP):
        few = rows[start : start + _STEP]
        # Bypasses SQLAlchemy's parameter binding, which costs several times what SQLite takes to store a row.
        statement = head + ", ".join([values] * len(few))
        connection.exec_driver_sql(statement, tuple([row[name] for row in few for name in names]))


@functools.cache
def _plain_insert(table: Table, columns: tuple[str, ...]) -> tuple[str, str, list[str]]:
    """INSERT of these columns up to VALUES, the placeholders of one row, and the names of its columns in order."""
    compiled = insert(table).compile(dialect=sqlite.dialect(), column_keys=list(columns))
    assert compiled.positiontup is not None
    head, values, own = str(compiled).partition(" VALUES ")
    return head + values, own, compiled.positiontup


@functools.cache
def _upsert(dialect: str) -> Executable:
    """INSERT into the hourly sums that adds to the counts and the money of an existing row."""
    if dialect == "postgresql":
        # Large, and only needed with PostgreSQL.
        from sqlalchemy.dialects.postgresql import insert as insert_or_add
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_or_add  # type: ignore[assignment]
    statement = insert_or_add(hourly)
    upsert: Executable = statement.on_conflict_do_update(
        index_elements=list(KEYS),
        set_={name: hourly.c[name] + statement.excluded[name] for name in COUNTS + MONEY},
    )
    return upsert
