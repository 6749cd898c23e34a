"""A real PostgreSQL server of the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


def _binaries() -> Path:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders or not (folders[-1] / "initdb").exists():
        pytest.skip("PostgreSQL is absent (no initdb); install the Debian package postgresql")
    return folders[-1]


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL server of the tests: the URL of its database `postgres`, and a function for pg_ctl commands."""

    url: str
    control: Callable[..., None]


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    """A server on a Unix socket, in a temporary folder."""
    binaries = _binaries()
    # PostgreSQL refuses to run as root; its Debian package creates a user for it.
    user = None
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres").pw_name
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    with tempfile.TemporaryDirectory(prefix="breakeven-pg-") as name:
        if user is not None:
            shutil.chown(name, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(binaries / program), "-D", f"{name}/data", *arguments]
            subprocess.run(command, check=True, user=user, cwd=name, stdout=subprocess.DEVNULL, timeout=60)

        run("initdb", "-U", "breakeven", "-A", "trust", "--no-sync")
        settings = f"-c listen_addresses= -c unix_socket_directories={name} -c fsync=off -c max_connections=60"

        def control(word: str) -> None:
            run("pg_ctl", "-w", "-l", f"{name}/log", "-m", "immediate", "-o", settings, word)

        control("start")
        try:
            yield PostgresServer(f"postgresql+psycopg://breakeven@/postgres?host={name}", control)
        finally:
            control("stop")


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of an empty database."""
    # Imported here: the interpreter for training, which has no SQLAlchemy, reads the file with the fixtures as well.
    from sqlalchemy import text

    from breakeven.gateway.ledger.database import open_engine

    engine = open_engine(postgres_server.url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE IF EXISTS ledger WITH (FORCE)"))
        connection.execute(text("CREATE DATABASE ledger"))
    engine.dispose()
    return postgres_server.url.replace("/postgres?", "/ledger?")
