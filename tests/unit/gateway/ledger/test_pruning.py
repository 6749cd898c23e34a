"""Raw rows are deleted past their retention; totals do not change."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event, func, select

from breakeven.gateway.config.load import load_config
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.batches import BATCH, SET_ASIDE, Batches
from breakeven.gateway.ledger.database import open_engine, transaction
from breakeven.gateway.ledger.pruning import prune
from breakeven.gateway.ledger.schema import attempts, requests
from breakeven.gateway.ledger.store import store
from tests.unit.gateway.ledger.records import record

DAY = 24 * HOUR
BY = ("hour", "upstream", "pinned", "key")


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    for index in range(200):
        ledger.settle(record(at=index * HOUR + 5, attempts=1 + index % 2, key=str(index % 3)))
    assert ledger.flush(20)
    return ledger


def rows(url: str) -> tuple[int, int]:
    engine = open_engine(url)
    with transaction(engine, write=False) as connection:
        found = [connection.scalar(select(func.count()).select_from(table)) or 0 for table in (requests, attempts)]
    engine.dispose()
    return found[0], found[1]


def prune_now(url: str, keep_days: int, now: int) -> int:
    engine = open_engine(url)
    removed, done = prune(engine, keep_days * 24, now)
    engine.dispose()
    assert done
    return removed


def test_pruning_does_not_change_totals(filled: Ledger, url: str) -> None:
    before = filled.sums(BY)
    assert prune_now(url, 2, 100 * HOUR + 7) == 52
    assert rows(url) == (148, 222)
    assert filled.sums(BY) == before
    assert prune_now(url, 2, 100 * HOUR + 7) == 0


def test_recent_periods_may_still_begin_within_an_hour(filled: Ledger, url: str) -> None:
    prune_now(url, 2, 100 * HOUR)
    assert filled.sums((), 52 * HOUR + 6, 54 * HOUR + 6)[0].requests == 2
    assert filled.sums((), 10 * HOUR, 12 * HOUR)[0].requests == 2
    with pytest.raises(ValueError, match="whole hours"):
        filled.sums((), 10 * HOUR + 6, 12 * HOUR)


def test_what_a_crashed_process_left_is_set_aside_where_nobody_knows_whether_it_was_stored(
    filled: Ledger, url: str, journal: Path
) -> None:
    prune_now(url, 2, 100 * HOUR)
    before = filled.sums()
    late, fresh = record(at=3 * HOUR), record(at=99 * HOUR)
    (journal / "dead.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in (late, fresh)))
    Ledger.open(url, journal=journal).close()
    assert filled.sums()[0].requests == before[0].requests + 1
    assert msgspec.json.decode((journal / SET_ASIDE).read_bytes())["id"] == late.id


def test_what_this_process_settles_late_is_counted_in_its_hour_and_its_row_is_pruned(filled: Ledger, url: str) -> None:
    """As of a request that took hours, or after hours without the database."""
    prune_now(url, 2, 100 * HOUR)
    before = {one.group: one for one in filled.sums(("hour",))}
    filled.settle(record(at=3 * HOUR + 1, money=77, baseline=88))
    assert filled.flush(20)
    after = {one.group: one for one in filled.sums(("hour",))}
    assert [group for group in after if after[group] != before[group]] == [(3,)]
    assert after[(3,)].cost - before[(3,)].cost == 77
    assert prune_now(url, 2, 100 * HOUR) == 1
    assert {one.group: one for one in filled.sums(("hour",))} == after


def test_what_may_have_been_stored_before_it_was_pruned_is_not_counted_again(filled: Ledger, url: str) -> None:
    prune_now(url, 2, 100 * HOUR)
    engine, doubtful, late = open_engine(url), set[str](), record(at=3 * HOUR)
    assert store(engine, [late], doubtful=doubtful) == []
    assert doubtful == {late.id}
    # Its process has not seen that it was stored, and tries again after it was pruned.
    prune_now(url, 2, 100 * HOUR)
    before = filled.sums()
    assert store(engine, [late], doubtful=doubtful) == [late]
    assert filled.sums() == before
    engine.dispose()


def test_after_an_outage_all_is_counted_once_although_it_is_pruned_at_once(
    filled: Ledger, url: str, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("breakeven.gateway.ledger.writer._MAX_QUEUED", 7)
    monkeypatch.setattr("breakeven.gateway.ledger.journal._SEGMENT_BYTES", 20_000)
    prune_now(url, 2, 100 * HOUR)
    before = filled.sums()[0].requests
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    # What another gateway does as soon as they are stored.
    other.executescript(
        f"CREATE TRIGGER pruned AFTER INSERT ON requests WHEN NEW.at < {52 * HOUR} "
        "BEGIN DELETE FROM requests WHERE id = NEW.id; END;"
        "CREATE TRIGGER too AFTER INSERT ON attempts WHEN NOT EXISTS (SELECT 1 FROM requests WHERE id = NEW.request) "
        "BEGIN DELETE FROM attempts WHERE request = NEW.request; END;"
    )
    other.execute("BEGIN IMMEDIATE")
    settled = [record(at=3 * HOUR + number) for number in range(60)]
    for one in settled:
        filled.settle(one)
    other.execute("COMMIT")
    other.close()
    assert filled.flush(60)
    assert filled.sums()[0].requests == before + 60
    assert not (journal / SET_ASIDE).exists()


def test_what_was_stored_before_a_batch_failed_is_neither_counted_again_nor_set_aside(
    filled: Ledger, url: str, journal: Path
) -> None:
    prune_now(url, 2, 100 * HOUR)
    before = filled.sums()[0].requests
    engine, commits = open_engine(url), []

    def fail_at_the_second(_: object) -> None:
        commits.append(1)
        if len(commits) == 2:
            raise OSError("away")

    event.listen(engine, "commit", fail_at_the_second)
    batches = Batches(engine, journal)
    settled = [record(at=3 * HOUR + number) for number in range(2 * BATCH)]
    with pytest.raises(OSError, match="away"):
        batches.store_all(settled, own=True)
    assert prune_now(url, 2, 100 * HOUR) == BATCH
    batches.store_all(settled, own=True)
    batches.file.close()
    engine.dispose()
    assert batches.set_aside == BATCH  # of those whose commit failed nobody knows
    assert filled.sums()[0].requests == before + BATCH


@pytest.mark.parametrize(("setting", "left"), [({"keep_hours": 1}, 2), ({"keep_days": 1}, 25), ({}, 200)])
def test_maintenance_leaves_what_the_config_says(
    filled: Ledger, url: str, tmp_path: Path, setting: dict[str, int], left: int
) -> None:
    teacher = {"base_url": "http://127.0.0.1:9/v1", "model": "big", "usd_per_million": {"input": 1, "output": 2}}
    (tmp_path / "breakeven.yaml").write_text(msgspec.json.encode({"teacher": teacher, "ledger": setting}).decode())
    filled._config = load_config(tmp_path / "breakeven.yaml")
    before = filled.sums(BY)
    filled.maintenance(199 * HOUR + 30)
    assert rows(url)[0] == left
    filled.maintenance(200 * HOUR - 1)
    assert rows(url)[0] == left
    filled.maintenance(200 * HOUR)
    assert rows(url)[0] == (left - 1 if setting else left)
    assert filled.sums(BY) == before


def test_both_ways_to_say_how_long_are_refused(tmp_path: Path) -> None:
    (tmp_path / "breakeven.yaml").write_text("teacher: {}\nledger: {keep_days: 1, keep_hours: 1}")
    with pytest.raises(ConfigError) as refused:
        load_config(tmp_path / "breakeven.yaml")
    assert "ledger: keep_hours: stands in place of keep_days; remove one of them" in refused.value.faults


def test_many_rows_are_deleted_in_several_calls(ledger: Ledger, url: str) -> None:
    engine = open_engine(url)
    for start in range(0, 2500, 500):
        store(engine, [record(at=HOUR + start + number) for number in range(500)])
    assert [prune(engine, 1, 100 * HOUR, seconds=0.0) for _ in range(3)] == [(1000, False), (1000, False), (500, True)]
    assert rows(url) == (0, 0)
    assert ledger.sums()[0].requests == 2500
    engine.dispose()


def test_pruning_with_an_earlier_clock_changes_nothing(filled: Ledger, url: str) -> None:
    prune_now(url, 2, 100 * HOUR)
    assert prune_now(url, 2, 60 * HOUR) == 0
    with pytest.raises(ValueError, match="whole hours"):
        filled.sums((), 51 * HOUR + 6, 60 * HOUR)
