"""The policy that gateways on several machines share: one row with a version that only grows."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from breakeven.gateway.ledger.database import serialise
from breakeven.gateway.ledger.schema import policies

_NAME = "active"


def read_policy(connection: Connection) -> tuple[int, str | None]:
    """Version and document; version 0 where none was ever put, no document where it was taken back."""
    columns = policies.c
    row = connection.execute(select(columns.version, columns.document).where(columns.name == _NAME)).first()
    return (0, None) if row is None else (row[0], row[1])


def put_policy(connection: Connection, document: str | None) -> int:
    """Replace it. Returns its version."""
    serialise(connection)
    version = read_policy(connection)[0] + 1
    values = {"version": version, "document": document}
    if not connection.execute(update(policies).where(policies.c.name == _NAME).values(**values)).rowcount:
        connection.execute(insert(policies), {**values, "name": _NAME})
    return version
