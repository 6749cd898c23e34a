"""Why an attempt failed, and what the upstream calls it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("cause", sa.String(32)))
    op.add_column("attempts", sa.Column("upstream_request_id", sa.String(128)))
