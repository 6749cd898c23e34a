"""Stages of workloads, the artifacts that go with them, and which way a comparison was made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    direction = sa.Column("direction", sa.String(24), nullable=False, server_default="student_answered")
    op.add_column("comparisons", direction)
    for name in ("student_version", "teacher_version"):
        op.add_column("comparisons", sa.Column(name, sa.String(200), nullable=False, server_default=""))
    op.add_column("comparisons", sa.Column("logprob", sa.Float))
    op.create_index("comparisons_workload", "comparisons", ["workload", "at"])
    op.create_table(
        "road_states",
        sa.Column("workload", sa.String(64), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "road_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("workload", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("road_events_at", "road_events", ["at"])
    op.create_table(
        "artifacts",
        sa.Column("hash", sa.String(12), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
