"""Durable accounting over SQLAlchemy: SQLite by default, PostgreSQL for replicas."""

from breakeven.gateway.ledger.ledger import Ledger
from breakeven.gateway.ledger.rates import Investment

__all__ = ["Investment", "Ledger"]
