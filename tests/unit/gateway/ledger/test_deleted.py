"""A ledger or a journal that somebody deletes or replaces while it is in use."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.journal import segments
from tests.unit.gateway.ledger.records import record


def count(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM requests").fetchone()[0])


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_deleted_ledger_is_copied_back(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for _ in range(3):
        ledger.settle(record())
    assert ledger.flush(30)
    for one in tmp_path.glob("ledger.db*"):
        one.unlink()
    assert ledger.remade == 0
    ledger.settle(record())
    assert ledger.flush(30)
    assert ledger.remade == 1
    assert path.stat().st_mode & 0o777 == 0o600
    ledger.close()
    assert count(path) == 4


def test_an_empty_file_in_its_place_is_filled(ledger: Ledger, tmp_path: Path) -> None:
    ledger.settle(record())
    assert ledger.flush(30)
    for one in tmp_path.glob("ledger.db*"):
        one.unlink()
    # As a reader that connects meanwhile makes it.
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("PRAGMA user_version = 0")
    ledger.settle(record())
    assert ledger.flush(30)
    assert count(tmp_path / "ledger.db") == 2


def test_another_ledger_in_its_place_is_used(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger.open(f"sqlite:///{tmp_path / 'other.db'}", journal=tmp_path / "other")
    other.settle(record())
    other.close()
    (tmp_path / "other.db").replace(tmp_path / "ledger.db")
    for _ in range(2):
        ledger.settle(record())
    assert ledger.flush(30)
    assert ledger.remade == 1
    assert ledger.sums()[0].requests == 3


def test_several_processes_copy_it_once(url: str, tmp_path: Path) -> None:
    ledgers = [Ledger.open(url, journal=tmp_path / "journal") for _ in range(3)]
    for one in ledgers:
        one.settle(record())
        assert one.flush(30)
    for path in tmp_path.glob("ledger.db*"):
        path.unlink()

    def write(one: Ledger) -> None:
        for _ in range(20):
            one.settle(record())
            assert one.flush(30)

    threads = [threading.Thread(target=write, args=(one,)) for one in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in ledgers:
        one.close()
    assert count(tmp_path / "ledger.db") == 63


def test_a_deleted_journal_is_made_again_with_what_it_had(ledger: Ledger, journal: Path, tmp_path: Path) -> None:
    ledger.settle(record())
    assert ledger.flush(30)
    with locked(tmp_path / "ledger.db"):
        for _ in range(3):
            ledger.settle(record())
        shutil.rmtree(journal)
        ledger.settle(record())
        (segment,) = segments(journal)
        assert len(segment.read_text().splitlines()) == 4
        assert ledger.remade == 1
    assert ledger.flush(30)
    assert ledger.sums()[0].requests == 5


def test_a_folder_that_is_deleted_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}", journal=folder / "journal")
    ledger.settle(record())
    assert ledger.flush(30)
    shutil.rmtree(folder)
    ledger.settle(record())
    assert ledger.flush(30)
    ledger.close()
    assert count(folder / "ledger.db") == 2
