"""The ledger's database: engine, transactions and migrations."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionInTime
from sqlalchemy.pool import StaticPool

from breakeven.gateway.errors import LedgerAway, LedgerError
from breakeven.gateway.ledger.journal import make_private
from breakeven.gateway.ledger.schema import metadata
from breakeven.router.masking import masked

# The newest migration; a test compares it with the files in migrations/versions.
HEAD = "0017"
_LOCK = 0x62726561  # arbitrary constant: the advisory lock that serialises writers, such as replicas that migrate
_MIGRATION_SECONDS = 3600.0
_WAL_TRIES = 20
_WAL_PAUSE_SECONDS = 0.1


def open_engine(url: str) -> Engine:
    """Create an engine for a SQLAlchemy URL, without connecting.

    Raises LedgerError for an invalid URL, an unsupported database or a missing driver.
    """
    if not url.startswith("sqlite") and (url.partition("?")[0].count("@") > 1 or len(url.split()) > 1):
        # A part of the password would be taken as the name of the host, which errors name.
        raise LedgerError("its user and password must be percent-encoded: write %40 for @, and %20 for a space")
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url, parsed.database)
        if parsed.get_backend_name() != "postgresql":
            raise LedgerError(f"{parsed.get_backend_name()} is not supported; use sqlite:/// or postgresql+psycopg://")
        # Imported here: a gateway with SQLite has no driver for PostgreSQL.
        from breakeven.gateway.ledger.postgres import postgres_engine

        return postgres_engine(parsed)
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise LedgerError("not a database URL; use one such as sqlite:///breakeven.db") from None
    except ModuleNotFoundError as error:
        raise LedgerError(f"the database driver {error.name} is not installed; install it, or use sqlite:///") from None


def check_access(url: str) -> None:
    """Check that the ledger could be opened, without writing anything. Raises LedgerError."""
    engine = open_engine(url)
    path = engine.url.database
    try:
        _refuse_impossible(engine)
        if engine.dialect.name == "sqlite" and path and path != ":memory:" and not Path(path).exists():
            return
        with transaction(engine, write=False) as connection:
            _refuse_newer(connection)
    except SQLAlchemyError as error:
        raise LedgerError(error_message(error)) from None
    finally:
        engine.dispose()


def refuse_impossible(url: str) -> None:
    """Raise LedgerError for a URL that names no database, and for a SQLite file that cannot be made."""
    engine = open_engine(url)
    try:
        _refuse_impossible(engine)
    finally:
        engine.dispose()


def _refuse_impossible(engine: Engine) -> None:
    """Raise LedgerError for a SQLite file that is not there and cannot be made."""
    path = engine.url.database
    if engine.dialect.name == "sqlite" and path and path != ":memory:" and not path.startswith("file:"):
        folder = Path(path).parent
        if not Path(path).exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise LedgerError(f"{path} cannot be created; make its folder, or choose another file")


def require_existing(url: str) -> None:
    """Raise LedgerError for a SQLite ledger that does not exist yet."""
    path = open_engine(url).url
    if path.get_backend_name() == "sqlite" and path.database and not Path(path.database).exists():
        raise LedgerError(f"there is no ledger at {path.database} yet; `breakeven serve` makes it")


@contextlib.contextmanager
def transaction(engine: Engine, *, write: bool, seconds: float | None = None) -> Iterator[Connection]:
    """Run the block in a transaction, committed at its end. With `write` SQLite's write lock is taken at the start.

    `seconds`: how long PostgreSQL may take for one statement, at most and by default a minute.
    """
    with engine.connect().execution_options(breakeven_write=write) as connection:
        if seconds is not None and connection.dialect.name == "postgresql":
            connection.connection.dbapi_connection.limit = seconds  # type: ignore[union-attr]
        with connection.begin():
            yield connection


def serialise(connection: Connection) -> None:
    """Wait for other transactions that called this, and block later ones until this one ends.

    Needed with PostgreSQL only: SQLite serialises writers itself.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def migrate(engine: Engine) -> None:
    """Create the schema or upgrade it to HEAD. Raises LedgerError for a newer schema, and for database errors."""
    _refuse_impossible(engine)
    try:
        _make_private(engine)
        _switch_to_wal(engine)
        with transaction(engine, write=True) as connection:
            serialise(connection)
            version = _refuse_newer(connection)
            if version is None:
                _create(connection)
            elif version != HEAD:
                _raise_limits(connection)
                upgrade(connection)
    except SQLAlchemyError as error:
        raise unusable(error) from None


def _raise_limits(connection: Connection) -> None:
    """Let the statements of this transaction take long: a migration of a large ledger takes minutes."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.connection.dbapi_connection.limit = _MIGRATION_SECONDS  # type: ignore[union-attr]


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the migrations from the database's version, or from an empty database, to the version `to`."""
    # Imported here: slow to import, large, and only needed for a ledger with an old schema.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _create(connection: Connection) -> None:
    """Create a ledger at HEAD, with the version table that Alembic would write."""
    metadata.create_all(connection, checkfirst=False)
    versions = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
    versions.create(connection)
    connection.execute(versions.insert().values(version_num=HEAD))


def _make_private(engine: Engine) -> None:
    """Create the file of a new SQLite ledger for its owner alone: it can hold prompts. SQLite gives its other files the
    same mode. An existing file keeps the mode that its operator gave it.
    """
    path = engine.url.database
    if engine.dialect.name == "sqlite" and path and path != ":memory:" and not path.startswith("file:"):
        make_private(Path(path))


def _switch_to_wal(engine: Engine) -> None:
    """Set SQLite's WAL mode, in which readers and the writer do not block each other. It is stored in the file.

    Retried, since of two processes that set it at once on a new file one fails immediately, whatever its timeout.
    """
    if engine.dialect.name != "sqlite":
        return
    for attempt in range(_WAL_TRIES):
        try:
            with engine.connect() as connection:
                connection.connection.cursor().execute("PRAGMA journal_mode=WAL").close()
            return
        except (OperationalError, sqlite3.OperationalError):
            if attempt == _WAL_TRIES - 1:
                return  # without WAL the ledger is slower but correct
            time.sleep(_WAL_PAUSE_SECONDS)


def error_message(error: SQLAlchemyError) -> str:
    """The database's error message in one line, without the statement, its parameters or the URL."""
    cause = getattr(error, "orig", None)
    said = str(cause).strip().splitlines()[0] if cause is not None and str(cause).strip() else type(error).__name__
    said = masked(said)
    return f"the database cannot be used ({said}); check the URL and that it is there and writable"


def unusable(error: SQLAlchemyError) -> LedgerError:
    """The error for a database that failed: LedgerAway where it may work later."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, sqlite3.Error):
        away = getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    else:
        away = isinstance(error, OperationalError | NoConnectionInTime | InterfaceError)
    return (LedgerAway if away else LedgerError)(error_message(error))


def _refuse_newer(connection: Connection) -> str | None:
    """The schema version, None for an empty database. Raises LedgerError for one newer than HEAD."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if version is not None and str(version) > HEAD:
        raise LedgerError(f"the ledger has schema version {version} and this Breakeven knows {HEAD}; upgrade Breakeven")
    return None if version is None else str(version)


def _sqlite(url: str, path: str | None) -> Engine:
    arguments: dict[str, Any] = {"connect_args": {"timeout": 5.0, "check_same_thread": False}}
    if not path or path == ":memory:":
        arguments["poolclass"] = StaticPool
    engine = create_engine(url, **arguments)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        # Transactions are started explicitly, in `begin`, not implicitly by the driver.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("breakeven_write", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
