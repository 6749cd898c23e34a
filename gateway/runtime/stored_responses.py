"""Who made the responses that upstreams store, and the records that wait for the usage of those still being made.

In a SQLite file beside the ledger's journal, which the workers of a machine share and a restart leaves as it is. All
gateways use an upstream with one key of its own, so the upstream cannot tell their clients apart.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from breakeven.gateway.ledger.journal import make_private
from breakeven.router.policy import Route

_log = logging.getLogger("breakeven.responses")

FILE = "responses.sqlite"
# Upstreams keep responses for thirty days.
KEEP_SECONDS = 30 * 86400.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (id TEXT PRIMARY KEY, route TEXT NOT NULL, provider TEXT NOT NULL,
    maker TEXT NOT NULL, at REAL NOT NULL, waiting BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS responses_waiting ON responses (at) WHERE waiting IS NOT NULL;
"""


class Made(NamedTuple):
    """The upstream that stores a response: its route, and its provider, "" for the first one; and the name of the key
    that the response was made with, "" without keys.
    """

    route: Route
    provider: str
    maker: str


class StoredResponses:
    """The responses of the last KEEP_SECONDS that were noted. Times are seconds since the Unix epoch.

    Where the file cannot be used, that is logged once and nothing is known: no method raises for it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where the file is, None to keep all in memory."""
        self._faulty = False
        self._connection: sqlite3.Connection | None = None
        try:
            path = ":memory:" if folder is None else folder / FILE
            if folder is not None:
                make_private(folder / FILE)
            connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
            # As the journal: a killed process loses nothing, a power failure may.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            connection.executescript(_SCHEMA)
            self._connection = connection
        except sqlite3.Error as error:
            self._failed(error)

    def put(self, id: str, made: Made, at: float, waiting: bytes | None = None) -> bool:
        """Note who made a response, and the record that waits for its usage, if one does. Whether that was stored."""
        # An id that is known stays its maker's: an upstream gives each only once.
        query = "INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) "
        query += "DO NOTHING" if waiting is None else "DO UPDATE SET waiting = excluded.waiting"
        return self._run(query, (id, made.route.value, made.provider, made.maker, at, waiting)) is not None

    def get(self, id: str) -> Made | None:
        """Who made a response; None where that is not known."""
        rows = self._run("SELECT route, provider, maker FROM responses WHERE id = ?", (id,))
        return Made(Route(rows[0][0]), *rows[0][1:]) if rows else None

    def take(self, id: str) -> bytes | None:
        """The record that waits for a response's usage; one caller of all workers gets it. None without one."""
        return self._take("SELECT id, waiting FROM responses WHERE id = ? AND waiting IS NOT NULL", id)

    def take_older(self, before: float) -> bytes | None:
        """A record that has waited since before this time, in the same way."""
        query = "SELECT id, waiting FROM responses WHERE waiting IS NOT NULL AND at < ? ORDER BY at LIMIT 1"
        return self._take(query, before)

    def forget(self, id: str) -> None:
        """Drop what is known of a response."""
        self._run("DELETE FROM responses WHERE id = ?", (id,))

    def prune(self, now: float) -> None:
        """Drop responses older than KEEP_SECONDS for which nothing waits."""
        self._run("DELETE FROM responses WHERE at < ? AND waiting IS NULL", (now - KEEP_SECONDS,))

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()

    def _take(self, query: str, value: object) -> bytes | None:
        # Looking first: most responses have nothing waiting, and a write locks the file.
        found = self._run(query, (value,))
        if not found:
            return None
        id, waiting = found[0]
        claim = "UPDATE responses SET waiting = NULL WHERE id = ? AND waiting IS NOT NULL RETURNING id"
        taken: bytes | None = waiting if self._run(claim, (id,)) else None
        return taken

    def _run(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]] | None:
        if self._connection is None:
            return None
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._failed(error)
            return None

    def _failed(self, error: sqlite3.Error) -> None:
        if not self._faulty:
            self._faulty = True
            _log.error("%s cannot be used, so that it is not known whose stored responses are: %s", FILE, error)
