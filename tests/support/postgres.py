"""A real PostgreSQL server of the tests."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest


class Absent(RuntimeError):
    """PostgreSQL cannot be run here; says why."""


def _binaries() -> Path:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders or not (folders[-1] / "initdb").exists():
        raise Absent("PostgreSQL is absent (no initdb); install the Debian package postgresql")
    return folders[-1]


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL server of the tests: the URL of its database `postgres`, a function for pg_ctl commands, and the
    folder of its Unix socket and of its data.
    """

    url: str
    control: Callable[..., None]
    folder: Path

    def database(self, name: str) -> str:
        """The URL of a new, empty database of this name."""
        # Imported here: the interpreter for training, which has no SQLAlchemy, reads this file as well.
        from sqlalchemy import text

        from breakeven.gateway.ledger.database import open_engine

        engine = open_engine(self.url)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url.replace("/postgres?", f"/{name}?")

    def processes(self) -> list[psutil.Process]:
        """The server and those that it started, one for each connection among them."""
        pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server on a Unix socket, in a temporary folder. Raises Absent."""
    binaries = _binaries()
    # PostgreSQL refuses to run as root; its Debian package creates a user for it.
    user = None
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres").pw_name
        except KeyError:
            raise Absent("PostgreSQL does not run as root, and there is no user postgres") from None
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
            yield PostgresServer(f"postgresql+psycopg://breakeven@/postgres?host={name}", control, Path(name))
        finally:
            control("stop")


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    """A server of the module's own."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running_postgres())
        except Absent as error:
            pytest.skip(str(error))
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of an empty database."""
    return postgres_server.database("ledger")
