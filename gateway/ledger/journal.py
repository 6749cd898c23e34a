"""The append-only journal: a settled record is written to a file before the client has the end of its answer.

Each process writes one segment at a time, a file of JSON lines on which it holds a lock. A segment whose records are
all in the database is truncated or removed. An unlocked segment is orphaned: its process crashed, and any other process
recovers its records. The journal survives a killed process; a power failure may lose what the kernel had not written to
disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from breakeven.gateway.accounting.record import RequestRecord

_log = logging.getLogger("breakeven.ledger")

_SEGMENT_BYTES = 8 << 20
_decode = msgspec.json.Decoder(RequestRecord).decode


def beside(folder: Path, what: str) -> Path:
    """Where this machine keeps something else of a ledger: beside the folder of its journal, and named like it."""
    name = folder.name.removesuffix(".d").removesuffix("-journal")
    return folder.with_name(f"{name}-{what}")


def make_private(path: Path) -> None:
    """Create a file for its owner alone; one that exists keeps its mode. Raises no error: who opens it does."""
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


class Segment:
    """One file of the journal, locked by this process.

    `size` is in bytes; `waiting` counts its records that are not in the database yet.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self._file = _create(folder)
        self._open = True
        self.size = 0
        self.waiting = 0

    @property
    def full(self) -> bool:
        """Whether the next record should go to a new segment."""
        return self.size >= _SEGMENT_BYTES

    def append(self, line: bytes) -> None:
        """Append a record's JSON with its line end. Raises OSError, such as for a full disk, and then removes a partial
        line.
        """
        written = os.write(self._file, line)
        if written != len(line):
            os.ftruncate(self._file, self.size)
            raise OSError("the disk is full")
        self.size += written
        self.waiting += 1

    def stored(self, count: int, *, keep: bool) -> None:
        """Note that `count` more of its records are in the database. After the last one, truncate it, or without `keep`
        remove it.
        """
        self.waiting -= count
        if self.waiting == 0 and self.size:
            if keep:
                os.ftruncate(self._file, 0)
                self.size = 0
            else:
                self.remove()

    def read(self) -> list[RequestRecord]:
        """Read all records in the file. Raises OSError."""
        return _read(self.path)[0]

    def close(self) -> None:
        """Unlock it; remove it if all its records are stored, else leave it for recovery at the next start."""
        if self.waiting == 0:
            self.remove()
        elif self._open:
            self._open = False
            os.close(self._file)

    def remove(self) -> None:
        """Delete the file. Safe to call again."""
        if self._open:
            self._open = False
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            os.close(self._file)


def _create(folder: Path) -> tuple[Path, int]:
    """Create a file and lock it. Returns its path and descriptor. Raises OSError."""
    while True:
        path = folder / f"{uuid.uuid4().hex}.jsonl"
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        # Before it is locked, another process may take it for an orphan, and remove it as empty.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(file).st_ino:
                return path, file
        os.close(file)


@contextlib.contextmanager
def claim_orphan(path: Path) -> Iterator[list[RequestRecord] | None]:
    """Lock an orphaned segment and give its records, or None if it is locked by a process or gone.

    The file is removed when the block ends without an exception. A last line that was cut off by a crash is
    skipped: its client never got the whole answer. A segment with other unreadable lines is renamed to end in .damaged
    instead, for an operator to inspect.
    """
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        records, damaged = _read(path)
        yield records
        with contextlib.suppress(FileNotFoundError):
            if damaged:
                path.rename(path.with_suffix(".damaged"))
                _log.error("%d unreadable lines in journal %s, renamed to .damaged", damaged, path.name)
            else:
                path.unlink()
    finally:
        os.close(file)


def segments(folder: Path) -> list[Path]:
    """The paths of all segments in the folder, also those in use, in order of name."""
    return sorted(folder.glob("*.jsonl"), key=lambda path: path.name)


def _read(path: Path) -> tuple[list[RequestRecord], int]:
    """The records, and the number of complete lines that are not records."""
    records, damaged = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            records.append(_decode(line))
        except msgspec.DecodeError:
            damaged += line.endswith(b"\n")
    return records, damaged
