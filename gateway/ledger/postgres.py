"""Connections to PostgreSQL on which nothing waits for ever.

The server ends a statement that takes too long or waits for a lock. That does not help where the server is frozen, or
a network swallows what is sent: there the client gives up, and closes the connection.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

CONNECT_SECONDS = 5
# Whether an idle connection still answers.
_PING_SECONDS = 5.0
_LOCK_SECONDS = 10
# By the server; a client waits a little longer, so that it gets the server's words.
STATEMENT_SECONDS = 60
_MARGIN_SECONDS = 5.0
_POOL_SECONDS = 10.0


class LimitedConnection(psycopg.Connection[Any]):
    """A connection whose waits end after `limit` seconds (None: never) with an OperationalError; it is closed then."""

    limit: float | None = STATEMENT_SECONDS + _MARGIN_SECONDS

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Wait until `gen`, one of psycopg's generators, is at its end."""
        if self.limit is None:
            return super().wait(gen, *arguments, **options)
        try:
            return super().wait(_limited(gen, time.monotonic() + self.limit), *arguments, **options)
        except _TooLong:
            # Its state is unknown: whatever was sent may still be executed.
            self.pgconn.finish()
            said = f"the server does not answer within {self.limit:.0f} s"
            raise psycopg.OperationalError(said) from None


class _TooLong(Exception):
    pass


def _limited(gen: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
    """`gen`, until the deadline; psycopg resumes it with 0 ten times a second while nothing arrives."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                raise _TooLong
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


def postgres_engine(url: URL) -> Engine:
    """An engine for this URL, whose own options come before those here. Does not connect."""
    given = url.query
    settings = {"statement_timeout": STATEMENT_SECONDS, "lock_timeout": _LOCK_SECONDS}
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "options": " ".join(f"-c {name}={seconds}s" for name, seconds in settings.items()),
    }
    if "options" in given:
        arguments["options"] += f" {given['options']}"
    arguments = {name: value for name, value in arguments.items() if name == "options" or name not in given}
    engine = create_engine(url, pool_size=4, pool_timeout=_POOL_SECONDS, connect_args=arguments)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _entry: object, positional: Any, named: Any) -> Any:
        return LimitedConnection.connect(*positional, **named)

    @event.listens_for(engine, "checkout")
    def ping(connection: LimitedConnection, _entry: ConnectionPoolEntry, _proxy: object) -> None:
        """Before an idle connection is used: one that no longer answers is replaced, and so are all others."""
        connection.limit = _PING_SECONDS
        try:
            connection.autocommit = True
            connection.execute("SELECT 1")
            connection.autocommit = False
        except psycopg.Error as error:
            raise InvalidatePoolError(str(error)) from error
        connection.limit = LimitedConnection.limit

    return engine
