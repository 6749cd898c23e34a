"""The file of a SQLite ledger, which somebody may delete or replace while it is open.

What is written to a deleted file is lost once it is closed. Until then it can still be read: it is copied back.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Engine

_log = logging.getLogger("breakeven.ledger")

_MADE = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"


class SqliteFile:
    """Notices that the file of an engine's ledger is not the one that was opened, and puts that right.

    For a database without a file of its own nothing happens. Not thread-safe: for the thread that writes.
    """

    def __init__(self, engine: Engine) -> None:
        path = engine.url.database
        own = engine.dialect.name == "sqlite" and path and path != ":memory:" and not path.startswith("file:")
        self._engine = engine
        self._path = Path(path) if own and path else None
        # Device and inode of the file in use.
        self.known: tuple[int, int] | None = None
        # Keeps the file that was opened, with its log, readable after it is deleted.
        self._kept: sqlite3.Connection | None = None
        self._log_of_it: tuple[int, int] | None = None
        self.remade = 0

    def opened(self) -> None:
        """The ledger at the path is the one in use from now on. Raises sqlite3.Error, OSError."""
        if self._path is None:
            return
        self.close()
        self.known = _inode(self._path)
        self._kept = sqlite3.connect(self._path, timeout=5.0, check_same_thread=False)
        self._kept.execute(_MADE).fetchone()
        self._log_of_it = _inode(_beside(self._path, "-wal"))

    def mend(self, prepare: Callable[[], None]) -> bool:
        """Whether the path had another file than the one in use, or none.

        If so, all later transactions are in the file there: a deleted ledger, copied back, or what took its place.
        `prepare` is called for it. Raises sqlite3.Error, OSError, and what `prepare` raises.
        """
        if self._path is None or self.known is None or _inode(self._path) == self.known:
            return False
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(self._path):
            self._remove_old_log(self._path)
            restored = self._restore(self._path)
        self._engine.dispose()
        prepare()
        self.opened()
        self.remade += 1
        what = "was deleted while it was in use, and is back with all that it had" if restored else "was replaced"
        _log.error("the ledger %s %s", self._path.name, what)
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _restore(self, path: Path) -> bool:
        """Copy the deleted ledger to its path, unless a ledger is there; whether that was done."""
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with contextlib.closing(sqlite3.connect(path, timeout=5.0)) as target:
            # A connection that was opened since then has made an empty file.
            if self._kept is None or target.execute(_MADE).fetchone()[0]:
                return False
            self._kept.backup(target)
        return True

    def _remove_old_log(self, path: Path) -> None:
        """SQLite would take the log of the file that was there for that of the one in its place."""
        log = _beside(path, "-wal")
        if self._log_of_it is not None and _inode(log) == self._log_of_it:
            for one in (log, _beside(path, "-shm")):
                one.unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Run the block while no other process is in it: of several that copy, the later would undo the earlier."""
    lock = _beside(path, ".lock")
    file = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
