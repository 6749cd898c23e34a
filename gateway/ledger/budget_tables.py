"""The ledger's tables of monthly budgets: what was spent under each name, and what running requests hold of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table

from breakeven.gateway.ledger.schema import metadata

# The name under which comparisons spend; no key can have it.
COMPARISONS = "(comparisons)"

# Reported and estimated cost by key and month (its first microsecond), written in the transaction that stores a record:
# to sum a month's hours for each request would take too long.
key_spend = Table(
    "key_spend",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("month", BigInteger, primary_key=True, autoincrement=False),
    Column("cost", BigInteger, nullable=False),
)

# The most that a request may cost, until its record is stored; once it has ended, what it did cost.
holds = Table(
    "holds",
    metadata,
    Column("request", String(32), primary_key=True),
    Column("key", String(64), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("running", Boolean, nullable=False),
    # A request whose process was killed leaves its hold behind.
    Column("until", BigInteger, nullable=False),
    Index("holds_key", "key"),
)
