"""An index of scored requests, for the newest scores of a workload."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    scored = sa.text("score IS NOT NULL")
    columns = ["workload", "artifact", "at"]
    op.create_index("requests_scored", "requests", columns, sqlite_where=scored, postgresql_where=scored)
