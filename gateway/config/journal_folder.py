"""The folder of a ledger's journal, which belongs to one database.

The records of one must never get into another: a gateway whose folder belongs to another database uses a folder of its
own inside. What lies beside the journal, such as the policy, is then separate, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

# Beside the folder.
_OWNER = "database.txt"


def beside(folder: Path, what: str) -> Path:
    """Where this machine keeps something else of a ledger: beside the folder of its journal, and named like it."""
    name = folder.name.removesuffix(".d").removesuffix("-journal")
    return folder.with_name(f"{name}-{what}")


def owner(url: str, folder: Path) -> str:
    """What a database is called in the journal's folder: its address, without user and password. A SQLite file is
    called by its path from the folder, so that both can be moved together.
    """
    scheme, _, rest = url.partition("://")
    backend = scheme.partition("+")[0]
    if backend == "sqlite":
        path = rest.partition("?")[0].removeprefix("/")
        return f"sqlite {os.path.relpath(path, folder) if path not in ('', ':memory:') else ':memory:'}"
    try:
        parts = urlsplit(url)
        address, port = parts.hostname or "localhost", parts.port or 5432
    except ValueError:
        return backend
    given = parse_qs(parts.query)
    hosts, ports = given.get("host", [address]), given.get("port", [str(port)])
    name = parts.path.removeprefix("/") or parts.username or ""
    return f"{backend} {','.join(hosts)} {','.join(ports)} {name}".rstrip()


def own_folder(folder: Path, of: str) -> Path:
    """The folder, or where it belongs to another database than `of` a folder for that one inside."""
    try:
        found = beside(folder, _OWNER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return folder
    return folder if found == of else folder / hashlib.sha256(of.encode()).hexdigest()[:12]


def claim(folder: Path, of: str) -> Path:
    """Make the folder for the database `of`, unless it belongs to another one. Returns the folder to use: see
    `own_folder`. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken = beside(folder, _OWNER)
    if not taken.exists():
        fresh = taken.with_name(f"{taken.name}.{uuid.uuid4().hex}")
        try:
            fresh.touch(mode=0o600)
            fresh.write_text(of + "\n", encoding="utf-8")
            os.link(fresh, taken)
        except OSError:
            # Another process was faster; or nothing can be written there, and the folder belongs to nobody.
            pass
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink()
    own = own_folder(folder, of)
    own.mkdir(exist_ok=True, mode=0o700)
    return own


def others(folder: Path) -> tuple[int, str] | None:
    """How many files of another database's journal are beside this folder, one from `own_folder`, and its name."""
    try:
        of = beside(folder.parent, _OWNER).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    # Plain and compressed ones.
    found = len([*folder.parent.glob("*.jsonl"), *folder.parent.glob("*.jsonl.gz")])
    return (found, of) if found else None
