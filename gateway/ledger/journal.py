"""The append-only journal: a settled record is written to a file before the client has the end of its answer.

Each process writes one segment at a time, a file of JSON lines on which it holds a lock. A segment whose records are
all in the database is truncated or removed; full ones are compressed while the database is away. An unlocked segment is
orphaned: its process crashed, and any other process recovers its records. The journal survives a killed process; a
power failure may lose what the kernel had not written to disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.config.journal_folder import claim

_log = logging.getLogger("breakeven.ledger")

_SEGMENT_BYTES = 8 << 20
_PLAIN, _COMPRESSED, _PART = ".jsonl", ".jsonl.gz", ".part"
# The quickest takes off three quarters, the others hardly more. 31: the format of gzip.
_LEVEL, _GZIP, _STEP = 1, 31, 1 << 16
_decode = msgspec.json.Decoder(RequestRecord).decode


def make_folder(folder: Path, owner: str | None) -> None:
    """Make the folder of a journal, where it is not there, for this database. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if owner is not None:
        claim(folder, owner)


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
        self._damaged = 0

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

    @property
    def gone(self) -> bool:
        """Whether its file was deleted, so that what is written to it ends with this process."""
        return self._open and os.fstat(self._file).st_nlink == 0

    def restore(self, folder: Path) -> None:
        """Copy what a deleted file had to a new one in the folder, and go on there. Raises OSError."""
        path, file = _create(folder, _COMPRESSED if self.compressed else _PLAIN)
        try:
            _write(file, os.pread(self._file, self.size, 0))
        except OSError:
            path.unlink()
            os.close(file)
            raise
        os.close(self._file)
        self.path, self._file = path, file

    @property
    def compressed(self) -> bool:
        """Whether its file was compressed."""
        return self.path.name.endswith(_COMPRESSED)

    def compress(self) -> tuple[Path, int, int]:
        """Write a compressed copy of a segment that gets no further records, beside it, for `replace`. Raises OSError,
        such as for a full disk, and then leaves none.
        """
        part = self.path.with_suffix(_PART)
        content = os.pread(self._file, self.size, 0)
        compressor = zlib.compressobj(_LEVEL, wbits=_GZIP)
        content = compressor.compress(content) + compressor.flush()
        file = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(file, content)
            os.fsync(file)
        except OSError:
            part.unlink(missing_ok=True)
            os.close(file)
            raise
        return part, file, len(content)

    def replace(self, part: Path, file: int, size: int) -> None:
        """Go on with the copy that `compress` made, unless the segment was closed meanwhile. Raises OSError where
        somebody removed it.
        """
        path = self.path.with_suffix(_COMPRESSED)
        if not self._open:
            part.unlink(missing_ok=True)
            os.close(file)
            return
        try:
            part.rename(path)
        except OSError:
            os.close(file)
            raise
        # A process that is killed here leaves both; see `claim_orphan`.
        self.path.unlink(missing_ok=True)
        os.close(self._file)
        self.path, self._file, self.size = path, file, size

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
        """Read all records in the file. Where something in it is unreadable, `remove` keeps it. Raises OSError."""
        records, self._damaged = _read(self.path)
        return records

    def close(self) -> None:
        """Unlock it; remove it if all its records are stored, else leave it for recovery at the next start."""
        if self.waiting == 0:
            self.remove()
        elif self._open:
            self._open = False
            os.close(self._file)

    def remove(self) -> None:
        """Delete the file, or rename it to end in .damaged where `read` found it so. Safe to call again."""
        if self._open:
            self._open = False
            _remove(self.path, self._damaged)
            os.close(self._file)


def _write(file: int, content: bytes) -> None:
    done = 0
    while done < len(content):
        done += os.write(file, content[done:])


def _create(folder: Path, suffix: str = _PLAIN) -> tuple[Path, int]:
    """Create a file and lock it. Returns its path and descriptor. Raises OSError."""
    while True:
        path = folder / f"{uuid.uuid4().hex}{suffix}"
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o600)
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
        if os.fstat(file).st_nlink == 0:  # its process has just stored or compressed it
            yield None
            return
        if path.name.endswith(_PLAIN) and path.with_suffix(_COMPRESSED).exists():
            # Its process was killed between the two. Read from both, at once or where no row tells any more that they
            # were stored, its records would collide or be set aside twice.
            path.unlink(missing_ok=True)
            yield None
            return
        records, damaged = _read(path)
        yield records
        _remove(path, damaged)
        # Of a process that was killed while it compressed.
        path.with_suffix(_PART).unlink(missing_ok=True)
    finally:
        os.close(file)


def _remove(path: Path, damaged: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        if damaged:
            path.rename(path.with_suffix(".damaged"))
            _log.error("%d unreadable lines in journal %s, renamed to .damaged", damaged, path.name)
        else:
            path.unlink()


def segments(folder: Path) -> list[Path]:
    """The paths of all segments in the folder, also those in use, in order of name."""
    found = (path for suffix in (_PLAIN, _COMPRESSED) for path in folder.glob(f"*{suffix}"))
    return sorted(found, key=lambda path: path.name)


def _read(path: Path) -> tuple[list[RequestRecord], int]:
    """The records, and the number of complete lines that are not records; a compressed file that is cut off counts as
    one.
    """
    records, damaged, content = [], 0, path.read_bytes()
    if path.name.endswith(_COMPRESSED):
        content, whole = _decompressed(content)
        damaged += not whole
    for line in content.splitlines(keepends=True):
        try:
            records.append(_decode(line))
        except msgspec.DecodeError:
            damaged += line.endswith(b"\n")
    return records, damaged


def _decompressed(content: bytes) -> tuple[bytes, bool]:
    """What can be read of a compressed file, and whether that is all of it."""
    decompressor, found = zlib.decompressobj(_GZIP), bytearray()
    try:
        # In parts, so that what comes before a damage is kept.
        for start in range(0, len(content), _STEP):
            found += decompressor.decompress(content[start : start + _STEP])
    except zlib.error:
        return bytes(found), False
    return bytes(found), decompressor.eof
