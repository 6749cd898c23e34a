"""The first schema: requests, attempts, hourly sums, hosting rates, investments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_rows()
    _create_sums()


def _create_rows() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("endpoint", sa.String(32), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("route", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("threshold", sa.Float),
        sa.Column("novelty", sa.Float),
        sa.Column("artifact", sa.String(12)),
        sa.Column("outcome", sa.String(24), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("baseline", sa.BigInteger, nullable=False),
        sa.Column("router_seconds", sa.Float),
        sa.Column("overhead_seconds", sa.Float),
        sa.Column("seconds", sa.Float, nullable=False),
    )
    op.create_index("requests_at", "requests", ["at"])
    op.create_index("requests_request_id", "requests", ["request_id"])
    op.create_table(
        "attempts",
        sa.Column("request", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("last", sa.Boolean, nullable=False),
        sa.Column("upstream", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(24), nullable=False),
        sa.Column("status", sa.Integer),
        *_counts("prompt_tokens", "cached_tokens", "output_tokens"),
        sa.Column("usage_complete", sa.Boolean, nullable=False),
        *_counts("cost_input", "cost_cached_input", "cost_output"),
        sa.Column("first_event_seconds", sa.Float),
        sa.Column("seconds", sa.Float, nullable=False),
    )


def _create_sums() -> None:
    op.create_table(
        "hourly",
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("upstream", sa.String(16), primary_key=True),
        sa.Column("pinned", sa.Boolean, primary_key=True),
        sa.Column("endpoint", sa.String(32), primary_key=True),
        sa.Column("route", sa.String(16), primary_key=True),
        sa.Column("reason", sa.String(16), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        *_counts("requests", "attempts", "usage_missing", "input_tokens", "cached_input_tokens", "output_tokens"),
        *_counts("cost_input", "cost_cached_input", "cost_output", "baseline"),
    )
    op.create_table(
        "hosting_rates",
        sa.Column("id", sa.Integer, primary_key=True),
        *_counts("since", "per_hour"),
    )
    op.create_table(
        "investments",
        sa.Column("name", sa.String(128), primary_key=True),
        *_counts("at", "amount"),
    )


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]
