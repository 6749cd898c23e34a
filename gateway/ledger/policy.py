"""The policy shared by gateways on several machines: one row with an increasing version."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from breakeven.gateway.ledger.database import serialise
from breakeven.gateway.ledger.schema import policies

_NAME = "active"


def read_policy(connection: Connection) -> tuple[int, str | None]:
    """Version and JSON document; version 0 if none was ever stored, None for the document if it was removed."""
    columns = policies.c
    row = connection.execute(select(columns.version, columns.document).where(columns.name == _NAME)).first()
    return (0, None) if row is None else (row[0], row[1])


def put_policy(connection: Connection, document: str | None) -> int:
    """Replace the document, None removes it. Returns the new version."""
    serialise(connection)
    version = read_policy(connection)[0] + 1
    values = {"version": version, "document": document}
    if not connection.execute(update(policies).where(policies.c.name == _NAME).values(**values)).rowcount:
        connection.execute(insert(policies), {**values, "name": _NAME})
    return version
