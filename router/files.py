"""Writing files atomically."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


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
