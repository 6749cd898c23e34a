"""Alembic's environment: one connection, given by `gateway.ledger.database.migrate`."""

from __future__ import annotations

from alembic import context

from breakeven.gateway.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
