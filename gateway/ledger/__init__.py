"""Durable accounting over SQLAlchemy: SQLite by default, PostgreSQL for replicas."""

from gateway.ledger.entries import Investment
from gateway.ledger.ledger import Ledger

__all__ = ["Investment", "Ledger"]
