"""Who was paid, where a route has several upstreams."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_KEYS = ("hour", "upstream", "pinned", "endpoint", "route", "reason", "key", "workload", "size")
_SUMS = (
    "requests", "attempts", "usage_missing", "input_tokens", "cached_input_tokens", "cache_write_tokens",
    "output_tokens", "cost_input", "cost_cached_input", "cost_cache_write", "cost_output", "cost_tools",
    "estimated_input_tokens", "estimated_output_tokens", "cost_estimated", "baseline", "baseline_input",
    "baseline_output",
)  # fmt: skip
_WITHOUT_DEFAULT = frozenset(
    ("requests", "attempts", "usage_missing", "input_tokens", "cached_input_tokens", "output_tokens", "cost_input",
     "cost_cached_input", "cost_output", "baseline")
)  # fmt: skip


def upgrade() -> None:
    op.add_column("attempts", sa.Column("provider", sa.String(64), nullable=False, server_default=""))
    if op.get_bind().dialect.name == "sqlite":
        _make_anew()
        return
    op.add_column("hourly", sa.Column("provider", sa.String(64), nullable=False, server_default=""))
    op.drop_constraint("hourly_pkey", "hourly", type_="primary")
    op.create_primary_key("hourly_pkey", "hourly", [*_KEYS, "provider"])


def _make_anew() -> None:
    """SQLite cannot change a primary key."""
    op.rename_table("hourly", "hourly_before")
    op.create_table(
        "hourly",
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("upstream", sa.String(16), primary_key=True),
        sa.Column("pinned", sa.Boolean, primary_key=True),
        sa.Column("endpoint", sa.String(32), primary_key=True),
        sa.Column("route", sa.String(16), primary_key=True),
        sa.Column("reason", sa.String(16), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("workload", sa.String(64), primary_key=True, server_default="default"),
        sa.Column("size", sa.Integer, primary_key=True, autoincrement=False, server_default="0"),
        sa.Column("provider", sa.String(64), primary_key=True, server_default=""),
        *(
            sa.Column(name, sa.BigInteger, nullable=False, server_default=None if name in _WITHOUT_DEFAULT else "0")
            for name in _SUMS
        ),
    )
    names = ", ".join(f'"{name}"' for name in (*_KEYS, *_SUMS))
    op.execute(f"INSERT INTO hourly ({names}) SELECT {names} FROM hourly_before")  # noqa: S608
    op.drop_table("hourly_before")
