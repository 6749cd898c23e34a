"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Replace `path`, made where it is absent; a reader sees the old file or the new one, never a part.

    Text is written as UTF-8. With `durable` the content is on disk before the file takes its name, so that it survives
    a loss of power. Raises OSError, and then leaves the old file as it was.
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
        # mkstemp gives a file that only its owner may read; a file is replaced with the rights it had.
        fresh.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's mask of file rights, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
