"""Each settled record is stored exactly once: crashes, a full disk, a database that is locked or fails."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event, func, select

from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.batches import SET_ASIDE
from breakeven.gateway.ledger.database import open_engine, transaction
from breakeven.gateway.ledger.journal import Segment, claim_orphan, segments
from breakeven.gateway.ledger.schema import attempts, requests
from breakeven.gateway.ledger.store import store
from breakeven.router.policy import Route
from tests.support.processes import CHECKOUT
from tests.unit.gateway.ledger.records import record

CHILD = "tests.unit.gateway.ledger.records"


def stored_ids(url: str) -> list[str]:
    engine = open_engine(url)
    with transaction(engine, write=False) as connection:
        ids = list(connection.scalars(select(requests.c.id)))
    engine.dispose()
    return ids


def test_a_record_is_stored_with_its_attempts(ledger: Ledger, url: str) -> None:
    ledger.settle(record(attempts=2))
    assert ledger.flush(10)
    (total,) = ledger.sums()
    assert (total.requests, total.attempts, total.input_tokens, total.cached_input_tokens) == (1, 2, 6, 4)
    assert (total.output_tokens, total.cost, total.baseline) == (5, 1_000_000, 1_000_000)
    assert ledger.pending == 0


def test_storing_a_record_twice_changes_nothing(ledger: Ledger, url: str) -> None:
    records = [record() for _ in range(3)]
    engine = open_engine(url)
    for batch in (records, records[:1], [records[0], record()], [records[1], records[1]]):
        store(engine, batch)
    with transaction(engine, write=False) as connection:
        assert connection.scalar(select(func.count()).select_from(attempts)) == 4
    engine.dispose()
    assert ledger.sums()[0].requests == 4


def test_a_batch_that_yields_the_gil_is_one_transaction(ledger: Ledger, url: str, tmp_path: Path) -> None:
    engine, seen = open_engine(url), []
    records = [record(attempts=1 + number % 2) for number in range(140)]

    def yield_gil() -> None:
        # Other connections can read meanwhile, and see none of its rows.
        seen.append(len(stored_ids(url)))

    store(engine, [*records, records[0]], yield_gil)
    assert len(seen) >= 4
    assert set(seen) == {0}
    assert sorted(stored_ids(url)) == sorted(one.id for one in records)
    (total,) = ledger.sums()
    assert (total.requests, total.attempts) == (140, 210)

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store(engine, [record() for _ in range(40)], fail)
    assert len(stored_ids(url)) == 140
    assert ledger.sums()[0].requests == 140
    engine.dispose()


def test_a_batch_stays_within_999_parameters_per_statement(ledger: Ledger, url: str) -> None:
    engine = open_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999))
    for yield_gil in (None, lambda: None):
        store(engine, [record(attempts=2) for _ in range(140)], yield_gil)
    engine.dispose()
    (total,) = ledger.sums()
    assert (total.requests, total.attempts) == (280, 560)


def test_records_of_a_killed_process_are_stored_exactly_once(url: str, journal: Path) -> None:
    settled: list[str] = []
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-m", CHILD, url, str(journal)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": CHECKOUT},
        )
        assert child.stdout is not None
        settled += [child.stdout.readline().strip() for _ in range(400)]
        child.kill()
        # Ids that it printed before it was killed.
        settled += [line.strip() for line in child.stdout if line.endswith("\n") and len(line) == 33]
        child.stdout.close()
        child.wait()
    Ledger.open(url, journal=journal).close()
    ids = stored_ids(url)
    assert len(settled) == len(set(settled))
    assert len(ids) == len(set(ids))
    missing = set(settled) - set(ids)
    assert not missing
    # Settled, but killed before its id was printed: at most one per process.
    assert len(set(ids) - set(settled)) <= 3
    assert list(journal.glob("*.jsonl")) == []
    reader = Ledger.open(url, journal=journal)
    assert reader.sums()[0].requests == len(ids)
    reader.close()


def test_a_truncated_last_line_of_a_journal_is_skipped(url: str, journal: Path) -> None:
    journal.mkdir()
    whole, torn = record(), msgspec.json.encode(record())
    (journal / "dead.jsonl").write_bytes(msgspec.json.encode(whole) + b"\n" + torn[: len(torn) // 2])
    Ledger.open(url, journal=journal).close()
    assert stored_ids(url) == [whole.id]
    assert list(journal.iterdir()) == []


def test_a_journal_with_unreadable_lines_is_kept_as_damaged(
    url: str, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal.mkdir()
    first, last = record(), record()
    lines = [msgspec.json.encode(first), b'{"id": "nonsense"}', msgspec.json.encode(last)]
    (journal / "dead.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    Ledger.open(url, journal=journal).close()
    assert sorted(stored_ids(url)) == sorted([first.id, last.id])
    assert [path.name for path in journal.iterdir()] == ["dead.damaged"]
    assert "1 unreadable lines" in caplog.text


def test_records_are_stored_after_a_database_lock_is_released(ledger: Ledger, url: str, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ledger.settle(record())
    assert not ledger.flush(0.3)
    assert ledger.pending == 1
    other.execute("COMMIT")
    other.close()
    assert ledger.flush(20)
    assert ledger.sums()[0].requests == 1


def test_failed_writes_are_retried(ledger: Ledger, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("CREATE TRIGGER refuse BEFORE INSERT ON requests BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    ledger.settle(record())
    assert not ledger.flush(0.5)
    assert ledger.write_failures > 0
    other.execute("DROP TRIGGER refuse")
    other.close()
    assert ledger.flush(20)
    assert ledger.sums()[0].requests == 1


def test_records_that_cannot_be_stored_before_closing_stay_in_the_journal(
    url: str, journal: Path, tmp_path: Path
) -> None:
    ledger = Ledger.open(url, journal=journal)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("CREATE TRIGGER refuse BEFORE INSERT ON requests BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    kept = record()
    ledger.settle(kept)
    ledger.close()
    assert len(list(journal.glob("*.jsonl"))) == 1
    other.execute("DROP TRIGGER refuse")
    other.close()
    Ledger.open(url, journal=journal).close()
    assert stored_ids(url) == [kept.id]
    assert list(journal.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which only some systems have")
def test_records_are_stored_when_the_journals_disk_is_full(
    ledger: Ledger, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.settle(record())
    segment = ledger._writer._segment
    assert segment is not None
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, segment._file)
    os.close(full)
    ledger.settle(record())  # never raises: the record waits in memory
    assert ledger.flush(10)
    assert ledger.sums()[0].requests == 2
    assert ledger.write_failures >= 1
    assert os.strerror(errno.ENOSPC) in caplog.text


def test_records_beyond_the_queue_limit_are_stored_from_the_journal(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("breakeven.gateway.ledger.writer._MAX_QUEUED", 5)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(20):
        ledger.settle(record())
    other.execute("COMMIT")
    other.close()
    assert ledger.flush(20)
    for _ in range(3):
        ledger.settle(record())
    assert ledger.flush(20)
    assert ledger.sums()[0].requests == 23


def test_a_record_that_can_never_be_stored_is_set_aside(ledger: Ledger, journal: Path) -> None:
    impossible = record(money=10**20)
    for one in (record(), impossible, record()):
        ledger.settle(one)
    assert ledger.flush(20)
    assert ledger.sums()[0].requests == 2
    assert ledger.write_failures == 1
    assert msgspec.json.decode((journal / SET_ASIDE).read_bytes())["id"] == impossible.id


def test_a_journal_in_use_is_not_recovered(tmp_path: Path) -> None:
    segment = Segment(tmp_path)
    segment.append(msgspec.json.encode(record()) + b"\n")
    (path,) = segments(tmp_path)
    with claim_orphan(path) as records:
        assert records is None
    segment.close()
    with claim_orphan(path) as records:
        assert records is not None
        assert len(records) == 1
    assert segments(tmp_path) == []


def test_an_orphaned_journal_is_kept_if_storing_its_records_fails(tmp_path: Path) -> None:
    segment = Segment(tmp_path)
    segment.append(msgspec.json.encode(record(route=Route.STUDENT)) + b"\n")
    segment.close()
    with pytest.raises(OSError, match="no room"), claim_orphan(segment.path):
        raise OSError("no room")
    assert segments(tmp_path) == [segment.path]
