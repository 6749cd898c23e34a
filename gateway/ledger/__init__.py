"""Durable accounting over SQLAlchemy: SQLite by default, PostgreSQL for replicas."""

from gateway.ledger.ledger import Ledger

__all__ = ["Ledger"]
