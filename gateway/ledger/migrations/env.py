"""Alembic's environment: runs migrations on the connection that `gateway.ledger.database.upgrade` gives."""

from __future__ import annotations

from alembic import context

from breakeven.gateway.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
