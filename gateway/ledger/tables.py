"""The base of what reads and writes some tables of the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from breakeven.gateway.ledger.database import transaction, unusable

_T = TypeVar("_T")


class Tables:
    """Some tables of the ledger. Thread-safe; each method raises LedgerError where the database cannot be used."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _write(self, what: Callable[[Connection], _T]) -> _T:
        return self._within(what, write=True)

    def _read(self, what: Callable[[Connection], _T]) -> _T:
        return self._within(what, write=False)

    def _within(self, what: Callable[[Connection], _T], *, write: bool) -> _T:
        try:
            with transaction(self._engine, write=write) as connection:
                return what(connection)
        except SQLAlchemyError as error:
            raise unusable(error) from None
