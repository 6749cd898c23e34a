"""Writing settled records to the database: a journal, a queue, and one thread that commits in batches."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.ledger.database import error_message
from breakeven.gateway.ledger.journal import Segment, claim_orphan, make_private, segments
from breakeven.gateway.ledger.store import store

_log = logging.getLogger("breakeven.ledger")

# Committing more at once would delay requests on a busy core by milliseconds.
_BATCH = 150
# How long a batch is gathered: a transaction costs as much as about fifteen requests. `flush` does not wait for it.
_GATHER_SECONDS = 0.2
# How long the thread sleeps between groups of rows, to yield the GIL and the core to requests, which otherwise wait
# for milliseconds.
_YIELD_SECONDS = 0.0003
# Above this many pending records the thread is falling behind and does not yield.
_BACKLOG = 2000
# Niceness 5: on a busy core requests get three times the CPU share of this thread, which needs a tenth of theirs.
_NICENESS = 5
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_MAINTENANCE_SECONDS = 30.0
# Above this many records in memory, further ones are kept in the journal only.
_MAX_QUEUED = 50_000
# While the journal cannot be written, up to this many are kept in memory; further ones are lost, and counted.
_MAX_QUEUED_WITHOUT_JOURNAL = 500_000
SET_ASIDE = "set-aside.json"


class Writer:
    """Accepts records without waiting and stores them in the database in the background, each exactly once.

    `maintenance`, if set, is called in the thread every 30 seconds.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        """`folder`: the journal's, shared by the processes of one machine."""
        self._engine = engine
        self._folder = folder
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        self._done = threading.Condition(lock)
        self._asleep = False
        self._queue: deque[tuple[RequestRecord, Segment | None]] = deque()
        self._segment: Segment | None = None
        self._overflowed: list[Segment] = []
        self._closing = False
        self._urgent = False
        self.write_failures = 0
        self.journal_failures = 0
        self.lost = 0
        self.maintenance: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="breakeven-ledger", daemon=True)

    def start(self) -> None:
        """Recover the journals of crashed processes, then start the thread. Raises OSError, SQLAlchemyError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._recover_orphans()
        if self.maintenance is not None:
            self.maintenance()
        self._thread.start()

    @property
    def pending(self) -> int:
        """The number of records that are settled and not in the database yet."""
        return len(self._queue) + sum(segment.waiting for segment in self._overflowed)

    def put(self, record: RequestRecord, encoded: bytes | None = None) -> None:
        """Accept a record; `encoded` is its JSON, if the caller has it already.

        It is in the journal when this returns. Never raises, and never waits for the database.
        """
        line = (msgspec.json.encode(record) if encoded is None else encoded) + b"\n"
        with self._work:
            segment = self._append(line)
            if len(self._queue) < (_MAX_QUEUED if segment is not None else _MAX_QUEUED_WITHOUT_JOURNAL):
                self._queue.append((record, segment))
            elif segment is None:
                self.lost += 1
            elif segment not in self._overflowed:
                self._overflowed.append(segment)
            # A thread that is gathering a batch need not be woken for each record.
            if self._asleep:
                self._asleep = False
                self._work.notify()

    def flush(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until all accepted records are in the database; False if they are not."""
        with self._work:
            self._urgent = True
            self._work.notify()
            return self._done.wait_for(lambda: self.pending == 0, timeout)

    def close(self, timeout: float) -> None:
        """Store pending records and stop, within `timeout` seconds. What cannot be stored stays in the journal."""
        with self._work:
            self._closing = self._urgent = True
            self._work.notify()
        self._thread.join(timeout)
        with self._work:
            for segment in {self._segment, *self._overflowed, *(held for _, held in self._queue)}:
                if segment is not None:
                    segment.close()
            self._segment = None

    def _append(self, line: bytes) -> Segment | None:
        try:
            if self._segment is None or self._segment.full:
                previous, self._segment = self._segment, Segment(self._folder)
                if previous is not None and previous.waiting == 0:
                    previous.remove()
            self._segment.append(line)
        except OSError as error:
            self.journal_failures += 1
            _log.error("cannot write the journal (%s); records are kept in memory only", error.strerror or error)
            return None
        return self._segment

    def _run(self) -> None:
        if sys.platform == "linux":  # elsewhere it would apply to the whole process
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        failures = 0
        maintained_at = time.monotonic()
        while True:
            batch = self._gather()
            try:
                if batch:
                    urgent = self._urgent or self.pending > _BACKLOG
                    yield_gil = None if urgent else _yield_gil
                    self._store([record for record, _ in batch], yield_gil)
                    self._stored(batch)
                elif self._overflowed:
                    self._store_overflowed()
                if time.monotonic() - maintained_at > _MAINTENANCE_SECONDS:
                    maintained_at = time.monotonic()
                    self._recover_orphans()
                    if self.maintenance is not None:
                        self.maintenance()
                failures = 0
            except (SQLAlchemyError, OSError) as error:
                self.write_failures += 1
                if failures == 0:
                    said = error_message(error) if isinstance(error, SQLAlchemyError) else str(error.strerror)
                    _log.error("%d records wait for the ledger: %s", self.pending, said)
                pause = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
                failures += 1
                if self._closing:
                    return
                with self._work:
                    self._work.wait_for(lambda: self._closing, pause)
                continue
            with self._work:
                if self.pending == 0:
                    self._urgent = False
                    self._done.notify_all()
                    if self._closing:
                        return

    def _gather(self) -> list[tuple[RequestRecord, Segment | None]]:
        """The next batch: waits until there is work and then, unless it is urgent, for more records to arrive."""

        def has_work() -> bool:
            self._asleep = not (self._queue or self._closing or self._overflowed or self._urgent)
            return not self._asleep

        with self._work:
            self._work.wait_for(has_work, _MAINTENANCE_SECONDS)
            self._asleep = False
            if len(self._queue) < _BATCH:
                self._work.wait_for(lambda: self._urgent or self._closing, _GATHER_SECONDS)
            return list(itertools.islice(self._queue, _BATCH))

    def _stored(self, batch: list[tuple[RequestRecord, Segment | None]]) -> None:
        with self._work:
            for _, segment in batch:
                self._queue.popleft()
                if segment is not None and segment not in self._overflowed:
                    segment.stored(1, keep=segment is self._segment)

    def _store_overflowed(self) -> None:
        """Store the oldest segment of records kept in the journal only; those stored already are skipped."""
        with self._work:
            segment = self._overflowed[0]
            if segment is self._segment:
                self._segment = None
        self._store_all(segment.read())
        with self._work:
            self._overflowed.remove(segment)
            segment.remove()

    def _recover_orphans(self) -> None:
        for path in segments(self._folder):
            with claim_orphan(path) as records:
                self._store_all(records or [])
                if records:
                    _log.warning("recovered %d records from the journal of a crashed process", len(records))

    def _store_all(self, records: list[RequestRecord]) -> None:
        for start in range(0, len(records), _BATCH):
            self._store(records[start : start + _BATCH])

    def _store(self, records: list[RequestRecord], yield_gil: Callable[[], None] | None = None) -> None:
        """Store records in one transaction. One that the database can never store is set aside, so that the others are
        not blocked by it.
        """
        try:
            late = store(self._engine, records, yield_gil)
            self._set_aside(late, "older than ledger.keep_days")
        except (DataError, OverflowError) as error:
            if len(records) > 1:
                middle = len(records) // 2
                self._store(records[:middle])
                self._store(records[middle:])
                return
            self._set_aside(records, type(error).__name__)

    def _set_aside(self, records: Sequence[RequestRecord], why: str) -> None:
        for record in records:
            make_private(self._folder / SET_ASIDE)
            with (self._folder / SET_ASIDE).open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
            self.write_failures += 1
            _log.error("a record cannot be stored (%s) and was set aside in %s", why, SET_ASIDE)


def _yield_gil() -> None:
    time.sleep(_YIELD_SECONDS)
