"""Opening a ledger: schema, migrations, versions, and concurrent processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

import breakeven.gateway.ledger
from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.database import HEAD, check_access, migrate, open_engine, transaction, upgrade
from breakeven.gateway.ledger.schema import metadata
from tests.support.processes import CHECKOUT

MIGRATIONS = Path(breakeven.gateway.ledger.__file__).parent / "migrations"


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


@pytest.mark.parametrize("upgraded", [False, True])
def test_new_and_upgraded_ledgers_have_the_declared_schema(url: str, upgraded: bool) -> None:
    engine = open_engine(url)
    if upgraded:
        with transaction(engine, write=True) as connection:
            upgrade(connection)
    migrate(engine)
    with transaction(engine, write=False) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
    engine.dispose()


def test_migrating_again_changes_nothing(url: str) -> None:
    engine = open_engine(url)
    migrate(engine)
    migrate(engine)
    engine.dispose()
    check_access(url)


def test_a_ledger_with_a_newer_schema_is_rejected(url: str, journal: Path, tmp_path: Path) -> None:
    Ledger.open(url, journal=journal).close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for attempt in (lambda: Ledger.open(url, journal=journal), lambda: check_access(url)):
        with pytest.raises(LedgerError, match=rf"version 9999.*knows {HEAD}.*upgrade"):
            attempt()


def test_concurrent_processes_can_open_a_new_ledger(url: str, journal: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from breakeven.gateway.ledger import Ledger\n"
        "sys.stdin.read(1)\n"
        "ledger = Ledger.open(sys.argv[1], journal=Path(sys.argv[2])); print(len(ledger.sums())); ledger.close()"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, url, str(journal)],
            env={**os.environ, "PYTHONPATH": CHECKOUT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("x")
        child.stdin.flush()
    for child in children:
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out.strip(), err) == (0, "1", "")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://localhost/x", "mysql is not supported"),
        ("nobody://localhost/x", "nobody is not supported"),
        ("sqlite:////nowhere/at/all/ledger.db", "cannot be"),
    ],
)
def test_an_unusable_url_is_rejected(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=said):
        Ledger.open(url, journal=tmp_path / "journal")
    with pytest.raises(LedgerError, match=said):
        check_access(url)


def test_a_file_that_is_not_a_database_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is a text and not a database\n" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger.open(f"sqlite:///{path}", journal=tmp_path / "journal")


def test_a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for mode in (0o600, 0o640):
        ledger = Ledger.open(f"sqlite:///{path}", journal=tmp_path / "journal")
        found = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("ledger.db*")}
        ledger.close()
        assert set(found.values()) == {mode}, found
        path.chmod(0o640)


def test_an_unwritable_journal_folder_is_rejected(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="journal"):
        Ledger.open(url, journal=tmp_path / "file" / "journal")


def test_errors_do_not_contain_the_password(tmp_path: Path) -> None:
    with pytest.raises(LedgerError) as caught:
        Ledger.open("postgresql+psycopg://user:secret-word@127.0.0.1:1/x", journal=tmp_path / "journal")
    assert "secret-word" not in str(caught.value)


def test_data_is_kept_when_the_first_schema_is_upgraded(url: str, journal: Path, tmp_path: Path) -> None:
    engine = open_engine(url)
    with transaction(engine, write=True) as connection:
        upgrade(connection, "0001")
    engine.dispose()
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as old, old:
        old.execute(
            "INSERT INTO hourly VALUES (7, 'teacher', 0, 'chat_completions', 'teacher', 'difficult', '',"
            " 3, 4, 0, 100, 20, 30, 1, 2, 3, 6)"
        )
        old.execute("INSERT INTO hosting_rates (since, per_hour) VALUES (5, 6)")
        old.execute("INSERT INTO investments VALUES ('config', 5, 77)")
    ledger = Ledger.open(url, journal=journal)
    (total,) = ledger.sums()
    assert (total.requests, total.attempts, total.tokens, total.cost, total.baseline) == (3, 4, 150, 6, 6)
    assert ledger.rates() == [(5, 6, None)]
    assert ledger.investment() == 77
    ledger.close()
    check_access(url)
