"""Cache writes, service tiers, fees, estimated tokens, and what the baseline is estimated from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NUMBERS = {
    "attempts": (
        "cache_write_tokens", "cost_cache_write", "cost_tools",
        "estimated_prompt_tokens", "estimated_output_tokens", "cost_estimated",
    ),
    "requests": ("baseline_input",),
    "hourly": (
        "cache_write_tokens", "estimated_input_tokens", "estimated_output_tokens",
        "cost_cache_write", "cost_tools", "cost_estimated", "baseline_input",
    ),
}  # fmt: skip


def upgrade() -> None:
    for table, names in _NUMBERS.items():
        for name in names:
            op.add_column(table, sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("attempts", sa.Column("usage_missing", sa.Boolean, nullable=False, server_default=sa.false()))
    of = sa.table("attempts", *(sa.column(name) for name in ("usage_missing", "usage_complete", "outcome")))
    op.execute(
        sa.update(of).where(of.c.outcome == "ok", of.c.usage_complete.is_(sa.false())).values(usage_missing=True)
    )
    op.add_column("attempts", sa.Column("service_tier", sa.String(32)))
    op.add_column("attempts", sa.Column("cost_reported", sa.BigInteger))
    for table in ("prices", "gateways"):
        op.add_column(table, sa.Column("document", sa.Text))
    for name in ("student_input_value", "student_output_value", "teacher_input_cost", "teacher_output_cost"):
        op.add_column("outcomes", sa.Column(name, sa.BigInteger))
    op.add_column("outcomes", sa.Column("key", sa.String(64)))
    # What the student answered is priced at its own tokens; prompts' share of that is what is not the output's.
    for table in ("requests", "hourly"):
        rows = sa.table(
            table,
            sa.column("route", sa.String),
            *(sa.column(name, sa.BigInteger) for name in ("baseline", "baseline_output", "baseline_input")),
        )
        prompts = rows.c.baseline - rows.c.baseline_output
        op.execute(sa.update(rows).where(rows.c.route == "student").values(baseline_input=prompts))
