"""Storing batches of settled records: each record once, and those that can never be stored set aside."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.errors import LedgerAway, LedgerError
from breakeven.gateway.ledger.database import error_message, unusable
from breakeven.gateway.ledger.journal import make_private
from breakeven.gateway.ledger.sqlite_file import SqliteFile
from breakeven.gateway.ledger.store import store

_log = logging.getLogger("breakeven.ledger")

# Committing more at once would delay requests on a busy core by milliseconds.
BATCH = 150
SET_ASIDE = "set-aside.json"
# Whatever a database that cannot be used raises.
UNUSABLE = (SQLAlchemyError, LedgerError, sqlite3.Error, OSError)


class Batches:
    """Stores records in a database that is ready only once `prepare` has run.

    All methods are for one thread, and raise one of UNUSABLE where the database or its folder cannot be used.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        """`folder`: the journal's, where records that cannot be stored are set aside."""
        self._engine = engine
        self._folder = folder
        self.file = SqliteFile(engine)
        self.prepared = False
        # Makes or upgrades the tables, and enters the config.
        self.prepare: Callable[[], None] = lambda: None
        self.set_aside = 0

    def make_ready(self) -> bool:
        """Prepare the database, unless that was done; and again where its file was deleted or replaced. Whether its
        file was.
        """
        mended = self.file.mend(self.prepare)
        if not self.prepared:
            self.prepare()
            if not self.file.known:
                self.file.opened()
            self.prepared = True
        return mended

    def store(self, records: list[RequestRecord], yield_gil: Callable[[], None] | None = None) -> None:
        """Store records in one transaction. One that the database can never store is set aside, so that the others are
        not blocked by it.
        """
        self.make_ready()
        self._store(records, yield_gil)
        if self.make_ready():
            # They may be in the file that is not there any more. Those that are stored are left out.
            self._store(records, None)

    def store_all(self, records: list[RequestRecord]) -> None:
        """Store any number of records, in batches."""
        for start in range(0, len(records), BATCH):
            self.store(records[start : start + BATCH])

    def _store(self, records: list[RequestRecord], yield_gil: Callable[[], None] | None) -> None:
        try:
            late = store(self._engine, records, yield_gil)
            self._put_aside(late, "older than ledger.keep_days")
        except (DataError, OverflowError) as error:
            if len(records) > 1:
                middle = len(records) // 2
                self._store(records[:middle], yield_gil)
                self._store(records[middle:], yield_gil)
                return
            self._put_aside(records, type(error).__name__)

    def _put_aside(self, records: Sequence[RequestRecord], why: str) -> None:
        for record in records:
            make_private(self._folder / SET_ASIDE)
            with (self._folder / SET_ASIDE).open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
            self.set_aside += 1
            _log.error("a record cannot be stored (%s) and was set aside in %s", why, SET_ASIDE)


def said(error: Exception) -> str:
    """One of UNUSABLE in words, without what the statement or the URL has."""
    if isinstance(error, SQLAlchemyError):
        return error_message(error)
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)


def waits(error: Exception) -> bool:
    """Whether one of UNUSABLE may pass by itself: the database is away or locked."""
    return isinstance(unusable(error) if isinstance(error, SQLAlchemyError) else error, LedgerAway)
