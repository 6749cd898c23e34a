"""Writing files atomically, and reading those that somebody else may have made."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

_PART_BYTES = 1 << 22


def read_file(path: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes. Never waits for a pipe and never reads a device.

    Raises OSError, and ValueError, which does not name the file, where it is no regular file, has more bytes, or no
    file can have such a name.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:
        raise ValueError("no file can have this name") from None
    with os.fdopen(opened, "rb") as file:
        state = os.fstat(opened)
        if stat.S_ISDIR(state.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("it is a pipe or a device, and not a file")
        content, size = [], state.st_size
        # A file may grow while it is read.
        while size <= most and (part := file.read(_PART_BYTES)):
            content.append(part)
            size = max(size, sum(map(len, content)))
        if size > most:
            raise ValueError(f"it has more than {most} bytes")
        return b"".join(content)


def write_atomically(path: Path, content: str | bytes, *, durable: bool = False, private: bool = False) -> None:
    """Create or replace the file `path` by renaming a temporary file: a reader sees the old content or the new.

    Text is written as UTF-8. With `durable` the content is flushed to disk before the rename, so that it survives a
    power failure. With `private` only its owner can read a file that was not there before, as one with prompts in it.
    Raises OSError, and then leaves the old file unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        # mkstemp makes a file that only its owner can read; keep the permissions of the file that is replaced.
        usual = 0o600 if private else 0o666 & ~_umask()
        fresh.chmod(path.stat().st_mode & 0o777 if path.exists() else usual)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
