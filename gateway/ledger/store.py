"""One batch of settled records into the database: their rows and the hourly sums, in one transaction."""

from __future__ import annotations

import functools

from sqlalchemy import Connection, Engine, Executable, Table, insert, select
from sqlalchemy.dialects import sqlite

from gateway.economics.sums import COUNTS, MONEY
from gateway.ledger.database import transaction
from gateway.ledger.retention import raw_since
from gateway.ledger.rows import KEYS, Row, attempt_rows, hourly_rows, outcome_rows, request_rows
from gateway.ledger.schema import attempts, hourly, outcomes, requests
from gateway.record import RequestRecord


def store(engine: Engine, records: list[RequestRecord]) -> list[RequestRecord]:
    """Insert those that are not there yet and add them to the hourly sums, in one transaction.

    Returns those that it left out: raw rows of their time have been removed, so nobody can say whether they
    were stored before.
    """
    with transaction(engine, write=True) as connection:
        limit = raw_since(connection)
        late = [record for record in records if record.at < limit]
        records = [record for record in records if record.at >= limit]
        ids = [record.id for record in records]
        known = set(connection.scalars(select(requests.c.id).where(requests.c.id.in_(ids))))
        fresh = list({record.id: record for record in records if record.id not in known}.values())
        if not fresh:
            return late
        _insert(connection, requests, request_rows(fresh))
        _insert(connection, attempts, attempt_rows(fresh))
        pairs = outcome_rows(fresh)
        if pairs:
            connection.execute(insert(outcomes), pairs)
        connection.execute(
            _adding(engine.dialect.name), sorted(hourly_rows(fresh), key=lambda row: [str(row[name]) for name in KEYS])
        )
    return late


def _insert(connection: Connection, table: Table, rows: list[Row]) -> None:
    if connection.dialect.name != "sqlite":
        connection.execute(insert(table), rows)
        return
    # To bind a row costs SQLAlchemy several times what SQLite takes to store it.
    statement, names = _plain_insert(table)
    connection.exec_driver_sql(statement, [tuple([row[name] for name in names]) for row in rows])


@functools.cache
def _plain_insert(table: Table) -> tuple[str, list[str]]:
    compiled = insert(table).compile(dialect=sqlite.dialect())
    assert compiled.positiontup is not None
    return str(compiled), compiled.positiontup


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
