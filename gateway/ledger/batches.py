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
from breakeven.gateway.ledger.journal import claim_orphan, make_private, segments
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
        # Of those that this process settled the ids that may be in the database already, whose rows may be pruned.
        self.doubtful: set[str] = set()
        # And the ids of those that are, and that `store_all` is going to get again.
        self.stored: set[str] = set()

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
        """Store records that this process settled, in one transaction. One that the database can never store is set
        aside, so that the others are not blocked by it.
        """
        self._store(records, yield_gil, self.doubtful)
        self.doubtful.difference_update(record.id for record in records)

    def store_all(self, records: list[RequestRecord], *, own: bool) -> None:
        """Store any number of records, in batches. `own`: this process settled them, and those in `stored` are left
        out; of others nobody knows whether they were stored before.
        """
        for start in range(0, len(records), BATCH):
            few = [record for record in records[start : start + BATCH] if not own or record.id not in self.stored]
            self._store(few, None, self.doubtful if own else None)
            if own:  # a later batch may fail, and all come again
                self.stored.update(record.id for record in few)
        for ids in (self.doubtful, self.stored):
            ids.difference_update(record.id for record in records)

    def recover_orphans(self) -> None:
        """Store what crashed processes left in the journal."""
        for path in segments(self._folder):
            with claim_orphan(path) as records:
                self.store_all(records or [], own=False)
                if records:
                    _log.warning("recovered %d records from the journal of a crashed process", len(records))

    def _store(
        self, records: list[RequestRecord], yield_gil: Callable[[], None] | None, doubtful: set[str] | None
    ) -> None:
        self.make_ready()
        self._store_parts(records, yield_gil, doubtful)
        if self.make_ready():
            # They may be in the file that is not there any more. Those that are stored are left out.
            self._store_parts(records, None, None)

    def _store_parts(
        self, records: list[RequestRecord], yield_gil: Callable[[], None] | None, doubtful: set[str] | None
    ) -> None:
        try:
            late = store(self._engine, records, yield_gil, doubtful)
            self._put_aside(late, "older than the rows that ledger.keep_hours or keep_days leaves")
        except (DataError, OverflowError) as error:
            if len(records) > 1:
                middle = len(records) // 2
                self._store_parts(records[:middle], yield_gil, doubtful)
                self._store_parts(records[middle:], yield_gil, doubtful)
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
