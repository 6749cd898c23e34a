"""Dated prices, the active gateways, and the time before which raw rows were deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "prices",
        sa.Column("id", sa.Integer, primary_key=True),
        *_numbers("since", "input", "cached_input", "output"),
    )
    op.create_table(
        "gateways",
        sa.Column("id", sa.String(32), primary_key=True),
        *_numbers("started", "seen", "input", "cached_input", "output", "hosting_per_hour"),
    )
    op.create_table("marks", sa.Column("name", sa.String(32), primary_key=True), *_numbers("at"))


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]
