"""Durable accounting with SQLAlchemy: SQLite by default, PostgreSQL for several machines."""

from breakeven.gateway.ledger.ledger import Ledger
from breakeven.gateway.ledger.rates import Investment

__all__ = ["Investment", "Ledger"]
