"""Observed replicas of the student by hour, and the price of one replica."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NUMBERS = (
    "since", "until", "due", "observed", "replicas", "busy_measured", "busy", "active_measured", "active",
)  # fmt: skip


def upgrade() -> None:
    op.add_column("hosting_rates", sa.Column("per_replica", sa.BigInteger))
    op.create_table(
        "hosting_observed",
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _NUMBERS),
        sa.Column("last_replicas", sa.Float, nullable=False),
    )
