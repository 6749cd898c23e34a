"""Which model each attempt and each outcome is of, and candidates for the next student."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("version", sa.String(200), nullable=False, server_default=""))
    op.add_column("outcomes", sa.Column("version", sa.String(200), nullable=False, server_default=""))
    of = "FROM comparisons c WHERE c.request = outcomes.request"
    op.execute(
        f"UPDATE outcomes SET version = (SELECT c.student_version {of}) "  # noqa: S608
        f"WHERE source = 'shadow' AND EXISTS (SELECT 1 {of})"
    )
    if op.get_bind().dialect.name == "sqlite":
        _make_anew()
    else:
        op.drop_constraint("comparisons_pkey", "comparisons", type_="primary")
        op.create_primary_key("comparisons_pkey", "comparisons", ["request", "source"])
    op.create_index("comparisons_source", "comparisons", ["source", "at"])
    op.create_table(
        "candidates",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )


def _make_anew() -> None:
    """SQLite cannot change a primary key."""
    for name in ("comparisons_at", "comparisons_workload"):
        op.drop_index(name, "comparisons")
    op.rename_table("comparisons", "comparisons_before")
    columns: list[sa.Column[Any]] = [
        sa.Column("request", sa.String(32), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("student_input_value", sa.BigInteger, nullable=False),
        sa.Column("student_output_value", sa.BigInteger, nullable=False),
        sa.Column("teacher_input_cost", sa.BigInteger, nullable=False),
        sa.Column("teacher_output_cost", sa.BigInteger, nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("workload", sa.String(64), nullable=False, server_default="default"),
        sa.Column("size", sa.Integer, nullable=False, server_default="0"),
        sa.Column("source", sa.String(16), primary_key=True, server_default="shadow"),
        sa.Column("direction", sa.String(24), nullable=False, server_default="student_answered"),
        sa.Column("student_version", sa.String(200), nullable=False, server_default=""),
        sa.Column("teacher_version", sa.String(200), nullable=False, server_default=""),
        sa.Column("logprob", sa.Float),
    ]
    op.create_table("comparisons", *columns)
    names = ", ".join(f'"{column.name}"' for column in columns)
    op.execute(f"INSERT INTO comparisons ({names}) SELECT {names} FROM comparisons_before")  # noqa: S608
    op.drop_table("comparisons_before")
    op.create_index("comparisons_at", "comparisons", ["at"])
    op.create_index("comparisons_workload", "comparisons", ["workload", "at"])
