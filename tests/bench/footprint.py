"""Measures what a settled request takes on disk: in the journal while the database is away, and in a SQLite ledger,
also after its single rows were pruned, whose room the next ones take.

`python -m tests.bench.footprint [--requests 200000] [--keys 3]` settles requests as of 500 a second, whose ids, times,
tokens and costs are random, and prints bytes per request. No server runs; the ledger is the gateway's own.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from breakeven.gateway.accounting.prices import FREE, Cost
from breakeven.gateway.accounting.record import AttemptRecord, Endpoint, Outcome, RequestRecord
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.database import open_engine
from breakeven.gateway.ledger.pruning import prune
from breakeven.router.policy import Reason, Route

_PER_SECOND = 500
_REFUSE = "CREATE TRIGGER refuse BEFORE INSERT ON requests BEGIN SELECT RAISE(ABORT, 'away'); END"


def records(count: int, keys: int, start: int) -> Iterator[RequestRecord]:
    """Requests of which the student answers four in five, spread over `keys` client keys."""
    rng = random.Random(7)
    for number in range(count):
        route = Route.STUDENT if rng.random() < 0.8 else Route.TEACHER
        seconds, prompt, output = rng.uniform(0.2, 4.0), rng.randrange(4000), rng.randrange(600)
        value = Cost(prompt * 2_500_000, 0, output * 10_000_000)
        attempt = AttemptRecord(
            route, Outcome.OK, 200, Usage(prompt, 0, output, complete=True),
            FREE if route is Route.STUDENT else value, seconds / 3, seconds,
            upstream_request_id=f"chatcmpl-{rng.randbytes(16).hex()}", version="a-student@2026-11",
        )  # fmt: skip
        at, score = start + number * 1_000_000 // _PER_SECOND, rng.random()
        # As `wire.ids.fresh_id` makes them.
        id, request_id = (f"{at // 1000:012x}{rng.getrandbits(80):020x}" for _ in range(2))
        yield RequestRecord(
            id=id, request_id=request_id, at=at, endpoint=Endpoint.CHAT_COMPLETIONS,
            key=f"team-{rng.randrange(keys)}", stream=True, route=route,
            reason=Reason.EASY if route is Route.STUDENT else Reason.DIFFICULT, pinned=False, score=score,
            threshold=0.5, novelty=rng.random(), artifact="0123456789ab", outcome=Outcome.OK, status=200,
            attempts=(attempt,), baseline=value.input + value.output, router_seconds=rng.uniform(2e-4, 6e-4),
            overhead_seconds=rng.uniform(6e-4, 2e-3), seconds=seconds,
        )  # fmt: skip


def _encoded(record: RequestRecord) -> int:
    return len(msgspec.json.encode(record)) + 1


def _files(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--keys", type=int, default=3)
    wanted = parser.parse_args(arguments)
    start = (time.time_ns() // 1000 // HOUR - 24) * HOUR
    with tempfile.TemporaryDirectory(prefix="breakeven-bench-") as name:
        folder = Path(name)
        journal, count = folder / "journal", wanted.requests
        ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}", journal=journal)
        other = sqlite3.connect(folder / "ledger.db", isolation_level=None)
        other.execute(_REFUSE)
        began = time.process_time()
        for one in records(count, wanted.keys, start):
            ledger.settle(one)
        print(f"settled {count:,} requests in {time.process_time() - began:.1f} s of CPU, these made here included")
        full = -1
        while full != (full := _files(journal, "*.jsonl.gz")) or not full:
            time.sleep(6)
        plain, each = _files(journal, "*.jsonl"), sum(map(_encoded, records(1000, wanted.keys, start))) / 1000
        print(f"the journal has {(full + plain) / 1e6:.1f} MB, {plain / 1e6:.1f} MB of them not compressed")
        print(f"  bytes for each request: {each:.0f}, compressed {full / (count - plain / each):.0f}")
        other.execute("DROP TRIGGER refuse")
        ledger.flush(3600)
        size = _size(other)
        print(f"the ledger has {size / 1e6:.1f} MB: {size / count:.0f} bytes for each request")
        (sums,) = other.execute("SELECT count(*) FROM hourly").fetchone()
        for table, used in _tables(other):
            each = f"{used / sums:.0f} for each of {sums} hourly sums" if "hourly" in table else f"{used / count:.0f}"
            print(f"  {table}: {each}")
        _prune_and_fill_again(ledger, other, list(records(count, wanted.keys, start + 12 * HOUR)), start)
        other.close()
        ledger.close()


def _prune_and_fill_again(
    ledger: Ledger, other: sqlite3.Connection, later: Sequence[RequestRecord], start: int
) -> None:
    engine = open_engine(str(ledger._engine.url))
    began, removed, done = time.process_time(), 0, False
    while not done:
        some, done = prune(engine, 1, start + 12 * HOUR)
        removed += some
    print(f"pruned {removed:,} requests in {time.process_time() - began:.1f} s of CPU")
    engine.dispose()
    for one in later:
        ledger.settle(one)
    ledger.flush(3600)
    print(f"with as many requests again it has {_size(other) / 1e6:.1f} MB")


def _size(connection: sqlite3.Connection) -> int:
    """The bytes of the database."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (pages,), (page,) = (connection.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "page_size"))
    return int(pages) * int(page)


def _tables(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Tables and indices with their bytes, the largest first; none where SQLite cannot say."""
    try:
        query = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name HAVING sum(pgsize) > 8192 ORDER BY 2 DESC"
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


if __name__ == "__main__":
    main()
