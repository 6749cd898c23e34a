"""Who made each change of what routes, and how it is undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("road_events", sa.Column("who", sa.String(16), nullable=False, server_default="gateway"))
    op.add_column("road_events", sa.Column("undo", sa.Text))
