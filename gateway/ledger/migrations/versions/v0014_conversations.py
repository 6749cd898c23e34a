"""Conversations with both answers of comparisons, and what people say of these."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("request", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("workload", sa.String(64), nullable=False, server_default="default"),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("conversations_at", "conversations", ["at"])
    op.create_table(
        "audits",
        sa.Column("request", sa.String(32), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("verdict", sa.String(8), nullable=False),
    )
