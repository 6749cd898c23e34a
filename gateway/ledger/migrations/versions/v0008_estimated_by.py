"""How the tokens were found that no usage reported."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("estimated_by", sa.String(16)))
    of = sa.table("attempts", sa.column("usage_missing", sa.Boolean), sa.column("estimated_by", sa.String))
    op.execute(sa.update(of).where(of.c.usage_missing.is_(sa.true())).values(estimated_by="estimated"))
