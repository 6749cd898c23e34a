"""Spend by key and month, what running requests hold of budgets, and whose the ids of stored responses are."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_HOUR = 3_600_000_000


def upgrade() -> None:
    op.create_table(
        "key_spend",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("month", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "holds",
        sa.Column("request", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("running", sa.Boolean, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_index("holds_key", "holds", ["key"])
    op.create_table(
        "owned_ids",
        sa.Column("id", sa.String(512), primary_key=True),
        sa.Column("maker", sa.String(64), nullable=False),
        sa.Column("route", sa.String(16), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("owned_ids_at", "owned_ids", ["at"])
    now = datetime.fromtimestamp(time.time(), UTC)
    month = int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp() * 1e6)
    costs = "cost_input + cost_cached_input + cost_cache_write + cost_output + cost_tools + cost_estimated"
    name = "CASE WHEN reason = 'shadow' THEN '(comparisons)' ELSE key END"
    op.execute(
        sa.text(
            f"INSERT INTO key_spend (key, month, cost) SELECT {name}, :month, SUM({costs}) FROM hourly "  # noqa: S608
            f"WHERE hour >= :hour AND (key != '' OR reason = 'shadow') GROUP BY {name}"
        ).bindparams(sa.bindparam("month", month, sa.BigInteger), sa.bindparam("hour", month // _HOUR, sa.BigInteger))
    )
