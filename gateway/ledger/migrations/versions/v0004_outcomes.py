"""Outcomes of shadow traffic and feedback, stored prompts, and the output part of the baseline."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("requests", "hourly"):
        op.add_column(table, sa.Column("baseline_output", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "outcomes",
        sa.Column("request", sa.String(32), primary_key=True),
        sa.Column("source", sa.String(16), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("novelty", sa.Float),
        sa.Column("artifact", sa.String(12)),
        sa.Column("student_score", sa.Float),
        sa.Column("teacher_score", sa.Float),
        sa.Column("student_tokens", sa.BigInteger),
        sa.Column("teacher_tokens", sa.BigInteger),
        sa.Column("weight", sa.Float, nullable=False),
    )
    op.create_index("outcomes_at", "outcomes", ["at"])
    op.create_table(
        "prompts",
        sa.Column("request", sa.String(32), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("prompts_at", "prompts", ["at"])
