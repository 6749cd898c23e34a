"""The append-only journal: a settled record is on disk before the client has the end of its answer.

One process writes one segment at a time, a file of JSON lines that it holds a lock on. A segment whose
records are all in the database is emptied or removed. Segments that nobody holds belong to a process that
died; whoever finds them brings their records home. It outlives a killed process; a machine that loses its
power may lose what the kernel had not written.
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


class Segment:
    """One file of the journal, held by this process."""

    def __init__(self, folder: Path) -> None:
        self.path, self._file = _create(folder)
        self._open = True
        self.size = 0
        self.waiting = 0

    @property
    def full(self) -> bool:
        """Whether the next record belongs into a new segment."""
        return self.size >= _SEGMENT_BYTES

    def append(self, line: bytes) -> None:
        """Write a record's JSON and its line end. Raises OSError, such as for a full disk; a partial line is taken
        back.
        """
        written = os.write(self._file, line)
        if written != len(line):
            os.ftruncate(self._file, self.size)
            raise OSError("the disk is full")
        self.size += written
        self.waiting += 1

    def stored(self, count: int, *, keep: bool) -> None:
        """`count` of its records are in the database. Without any that wait it is emptied, or removed."""
        self.waiting -= count
        if self.waiting == 0 and self.size:
            if keep:
                os.ftruncate(self._file, 0)
                self.size = 0
            else:
                self.remove()

    def read(self) -> list[RequestRecord]:
        """All records in it."""
        return _read(self.path)[0]

    def close(self) -> None:
        """Let go of it; removed where nothing waits in it, else left for the next start."""
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
    """A new file that we hold the lock of. Raises OSError."""
    while True:
        path = folder / f"{uuid.uuid4().hex}.jsonl"
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        # Until it is locked, another process may take it for an orphan, and remove it as empty.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(file).st_ino:
                return path, file
        os.close(file)


@contextlib.contextmanager
def orphan(path: Path) -> Iterator[list[RequestRecord] | None]:
    """The records of a segment that nobody holds; None where somebody does. Removed when the block ends well.

    A last line that was cut off by a crash is passed over: its request was never answered in full. A segment
    with other lines that are no records stays, under a name that ends in .damaged, for a person to look at.
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
                _log.error("%d lines of %s are no records; it stays as .damaged", damaged, path.name)
            else:
                path.unlink()
    finally:
        os.close(file)


def orphans(folder: Path) -> list[Path]:
    """All segments in the folder, ours among them, oldest first."""
    return sorted(folder.glob("*.jsonl"), key=lambda path: path.name)


def _read(path: Path) -> tuple[list[RequestRecord], int]:
    """The records, and how many whole lines are none."""
    records, damaged = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            records.append(_decode(line))
        except msgspec.DecodeError:
            damaged += line.endswith(b"\n")
    return records, damaged
