"""The journal of records that wait for a database that is away: compressed once full, and read back whole."""

from __future__ import annotations

import contextlib
import gzip
import os
import sqlite3
import time
import uuid
from pathlib import Path

import msgspec
import pytest

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.journal import Segment, claim_orphan, segments
from tests.unit.gateway.ledger.records import record
from tests.unit.gateway.ledger.test_writer import stored_ids


def filled(folder: Path, count: int) -> tuple[Segment, list[RequestRecord]]:
    """A segment with so many records."""
    records = [record() for _ in range(count)]
    segment = Segment(folder)
    for one in records:
        segment.append(msgspec.json.encode(one) + b"\n")
    return segment, records


def recovered(folder: Path) -> list[str]:
    """The ids of the records of all orphaned segments, which are removed."""
    found = []
    for path in segments(folder):
        with claim_orphan(path) as records:
            found += [one.id for one in records or ()]
    return found


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway whose memory and segments hold few records."""
    monkeypatch.setattr("breakeven.gateway.ledger.writer._MAX_QUEUED", 20)
    monkeypatch.setattr("breakeven.gateway.ledger.journal._SEGMENT_BYTES", 20_000)


def test_a_compressed_segment_is_smaller_locked_and_read_back_whole(tmp_path: Path) -> None:
    segment, records = filled(tmp_path, 500)
    size = segment.path.stat().st_size
    segment.replace(*segment.compress())
    (path,) = segments(tmp_path)
    assert path.name.endswith(".jsonl.gz")
    assert path.stat().st_size * 4 < size
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 500
    assert recovered(tmp_path) == []  # it is in use
    assert [one.id for one in segment.read()] == [one.id for one in records]
    segment.close()
    assert recovered(tmp_path) == [one.id for one in records]
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_while_it_compresses_leaves_everything_readable(tmp_path: Path) -> None:
    segment, records = filled(tmp_path, 5)
    _, file, _ = segment.compress()
    os.close(file)
    segment.close()
    assert recovered(tmp_path) == [one.id for one in records]
    assert list(tmp_path.iterdir()) == []


def test_a_compressed_segment_that_is_cut_off_gives_what_it_has_and_is_kept(tmp_path: Path) -> None:
    segment, records = filled(tmp_path, 2000)
    segment.replace(*segment.compress())
    os.truncate(segment.path, segment.size * 2 // 3)
    segment.close()
    found = recovered(tmp_path)
    assert 0 < len(found) < 2000
    assert found == [one.id for one in records[: len(found)]]
    assert [path.suffix for path in tmp_path.iterdir()] == [".damaged"]


def test_a_segment_of_a_running_process_that_is_damaged_is_kept_too(tmp_path: Path) -> None:
    segment, records = filled(tmp_path, 2000)
    segment.replace(*segment.compress())
    os.truncate(segment.path, segment.size * 2 // 3)
    assert 0 < len(segment.read()) < len(records)
    segment.remove()
    assert [path.suffix for path in tmp_path.iterdir()] == [".damaged"]


def test_a_compressed_segment_is_restored_after_its_folder_was_deleted(tmp_path: Path) -> None:
    segment, records = filled(tmp_path, 50)
    segment.replace(*segment.compress())
    segment.path.unlink()
    assert segment.gone
    segment.restore(tmp_path)
    assert [one.id for one in segment.read()] == [one.id for one in records]
    segment.close()
    assert recovered(tmp_path) == [one.id for one in records]


def test_what_waits_for_a_database_that_is_away_is_compressed_and_stored_once(
    url: str, journal: Path, tmp_path: Path, small: None
) -> None:
    ledger = Ledger.open(url, journal=journal)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("CREATE TRIGGER refuse BEFORE INSERT ON requests BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    ids = [uuid.uuid4().hex for _ in range(600)]
    for one in ids:
        ledger.settle(record(id=one))

    def size() -> int:
        sizes = []
        for path in segments(journal):
            with contextlib.suppress(FileNotFoundError):  # it is being compressed
                sizes.append(path.stat().st_size)
        return sum(sizes)

    end = time.monotonic() + 60
    while size() > 120_000 and time.monotonic() < end:  # of 400 kB of records
        time.sleep(0.05)
    assert size() <= 120_000
    other.execute("DROP TRIGGER refuse")
    other.close()
    assert ledger.flush(60)
    ledger.close()
    assert sorted(stored_ids(url)) == sorted(ids)
    assert list(journal.iterdir()) == []


def test_a_process_that_is_killed_between_the_copy_and_the_removal_leaves_each_record_once(tmp_path: Path) -> None:
    segment, records = filled(tmp_path, 5)
    plain = segment.path
    content = plain.read_bytes()
    segment.replace(*segment.compress())
    plain.write_bytes(content)
    segment.close()
    assert recovered(tmp_path) == [one.id for one in records]
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_was_closed_while_it_was_compressed_stays_as_it_was(tmp_path: Path) -> None:
    segment, records = filled(tmp_path, 5)
    copy = segment.compress()
    segment.close()  # another process may take it from here on
    segment.replace(*copy)
    assert [path.suffix for path in tmp_path.iterdir()] == [".jsonl"]
    assert recovered(tmp_path) == [one.id for one in records]


def test_what_the_journal_alone_has_is_stored_also_while_requests_keep_arriving(
    url: str, journal: Path, tmp_path: Path, small: None
) -> None:
    ledger = Ledger.open(url, journal=journal)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    early = [uuid.uuid4().hex for _ in range(200)]
    for one in early:
        ledger.settle(record(id=one))
    other.execute("COMMIT")
    other.close()
    end = time.monotonic() + 30
    while not (done := set(early) <= set(stored_ids(url))) and time.monotonic() < end:
        for _ in range(20):
            ledger.settle(record())
            time.sleep(0.01)
    assert done
    ledger.close()
    assert ledger.sums()[0].requests == len(stored_ids(url)) == len(set(stored_ids(url)))
