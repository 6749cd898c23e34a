"""Whose the ids of stored responses, their items and conversations are, for all gateways on one ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Index, String, Table, delete, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from breakeven.gateway.economics.periods import DAY
from breakeven.gateway.ledger.schema import metadata
from breakeven.gateway.ledger.tables import Tables

# Upstreams keep responses for thirty days.
KEEP_DAYS = 30
# Only written where gateways on several machines share the ledger; a single machine has a file of its own.
owned_ids = Table(
    "owned_ids",
    metadata,
    Column("id", String(512), primary_key=True),
    Column("maker", String(64), nullable=False),
    # The upstream that stores it; of a conversation or an item they are empty.
    Column("route", String(16), nullable=False),
    Column("provider", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("owned_ids_at", "at"),
)


class OwnedId(NamedTuple):
    """An id, the name of the key that made it, its upstream's route and provider, and when (microseconds since the
    epoch).
    """

    id: str
    maker: str
    route: str
    provider: str
    at: int


def purge_ids(connection: Connection, now: int) -> None:
    """Drop the ids that upstreams do not keep any longer. `now` is in microseconds since the epoch."""
    connection.execute(delete(owned_ids).where(owned_ids.c.at < now - KEEP_DAYS * DAY))


class OwnedIdStore(Tables):
    """The table of owned ids. Every method raises LedgerError where the database cannot be used."""

    def put(self, owned: Sequence[OwnedId]) -> None:
        """Store these; an id that is there stays its maker's."""
        rows = [one._asdict() for one in owned]

        def store(connection: Connection) -> None:
            if connection.dialect.name == "postgresql":
                # Large, and only needed with PostgreSQL.
                from sqlalchemy.dialects.postgresql import insert as upsert
            else:
                upsert = sqlite_insert  # type: ignore[assignment]
            connection.execute(upsert(owned_ids).on_conflict_do_nothing(index_elements=["id"]), rows)

        if rows:
            self._write(store)

    def get(self, id: str) -> OwnedId | None:
        """Who made an id; None where that is not known."""
        statement = select(*owned_ids.c).where(owned_ids.c.id == id)
        row = self._read(lambda connection: connection.execute(statement).first())
        return None if row is None else OwnedId(*row)

    def forget(self, id: str) -> None:
        """Drop what is known of an id."""
        self._write(lambda connection: connection.execute(delete(owned_ids).where(owned_ids.c.id == id)))
