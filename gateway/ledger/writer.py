"""From settled records to committed rows: a journal, a queue and one thread that batches."""

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
from breakeven.gateway.ledger.database import explain
from breakeven.gateway.ledger.journal import Segment, orphan, orphans
from breakeven.gateway.ledger.store import store

_log = logging.getLogger("breakeven.ledger")

# A commit of more holds up the requests on a busy core for milliseconds.
_BATCH = 150
# A transaction costs as much as some fifteen requests. Who needs them at once flushes.
_GATHER_SECONDS = 0.2
# How long the thread leaves the interpreter and the core to the requests between a few rows and the next. Without it a
# request that comes meanwhile waits for its turn: milliseconds.
_BREATH_SECONDS = 0.0003
# More than this waits only where the thread does not keep up.
_HURRY = 2000
# On a busy core the requests are to have three times its share: enough for the database, which needs a tenth of theirs.
_NICE = 5
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_ORPHANS_SECONDS = 30.0
# Beyond this the memory keeps no more and the journal alone holds the records.
_QUEUE = 50_000
# While the journal cannot be written, the memory keeps up to this many; more are lost, and counted.
_QUEUE_WITHOUT_JOURNAL = 500_000
SET_ASIDE = "set-aside.json"


class Writer:
    """Takes records at once and brings them to the database in the background, each exactly once."""

    def __init__(self, engine: Engine, folder: Path) -> None:
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
        self.upkeep: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="breakeven-ledger", daemon=True)

    def start(self) -> None:
        """Bring home what a dead process left, and begin. Raises OSError, SQLAlchemyError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._bring_home()
        if self.upkeep is not None:
            self.upkeep()
        self._thread.start()

    @property
    def pending(self) -> int:
        """Records that are settled and not yet in the database."""
        return len(self._queue) + sum(segment.waiting for segment in self._overflowed)

    def put(self, record: RequestRecord, encoded: bytes | None = None) -> None:
        """Take a record, with its JSON where that is known. Never raises and never waits for the database."""
        line = (msgspec.json.encode(record) if encoded is None else encoded) + b"\n"
        with self._work:
            segment = self._append(line)
            if len(self._queue) < (_QUEUE if segment is not None else _QUEUE_WITHOUT_JOURNAL):
                self._queue.append((record, segment))
            elif segment is None:
                self.lost += 1
            elif segment not in self._overflowed:
                self._overflowed.append(segment)
            # While the thread gathers a batch it need not be woken for each record.
            if self._asleep:
                self._asleep = False
                self._work.notify()

    def flush(self, timeout: float) -> bool:
        """Wait until what was taken so far is in the database; False where that took too long."""
        with self._work:
            self._urgent = True
            self._work.notify()
            return self._done.wait_for(lambda: self.pending == 0, timeout)

    def close(self, timeout: float) -> None:
        """Write what waits and end. What the database does not take stays in the journal."""
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
            _log.error("the journal cannot be written (%s); records wait in memory", error.strerror or error)
            return None
        return self._segment

    def _run(self) -> None:
        if sys.platform == "linux":  # elsewhere it would be that of the process
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        failures = 0
        looked = time.monotonic()
        while True:
            batch = self._gather()
            try:
                if batch:
                    hurry = self._urgent or self.pending > _HURRY
                    breathe = None if hurry else _breathe
                    self._store([record for record, _ in batch], breathe)
                    self._stored(batch)
                elif self._overflowed:
                    self._reread()
                if time.monotonic() - looked > _ORPHANS_SECONDS:
                    looked = time.monotonic()
                    self._bring_home()
                    if self.upkeep is not None:
                        self.upkeep()
                failures = 0
            except (SQLAlchemyError, OSError) as error:
                self.write_failures += 1
                if failures == 0:
                    said = explain(error) if isinstance(error, SQLAlchemyError) else str(error.strerror)
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
        """What waits, after there is something and, unless it is urgent, a moment more."""

        def something() -> bool:
            self._asleep = not (self._queue or self._closing or self._overflowed or self._urgent)
            return not self._asleep

        with self._work:
            self._work.wait_for(something, _ORPHANS_SECONDS)
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

    def _reread(self) -> None:
        """Records that only the journal holds; those of them that are stored already do no harm."""
        with self._work:
            segment = self._overflowed[0]
            if segment is self._segment:
                self._segment = None
        self._store_all(segment.read())
        with self._work:
            self._overflowed.remove(segment)
            segment.remove()

    def _bring_home(self) -> None:
        for path in orphans(self._folder):
            with orphan(path) as records:
                self._store_all(records or [])
                if records:
                    _log.warning("brought home %d records of a process that ended without a goodbye", len(records))

    def _store_all(self, records: list[RequestRecord]) -> None:
        for start in range(0, len(records), _BATCH):
            self._store(records[start : start + _BATCH])

    def _store(self, records: list[RequestRecord], breathe: Callable[[], None] | None = None) -> None:
        """Store them. One that no database could ever take is set aside: it must not hold up the rest."""
        try:
            late = store(self._engine, records, breathe)
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
            with (self._folder / SET_ASIDE).open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
            self.write_failures += 1
            _log.error("a record cannot be stored (%s) and is in %s", why, SET_ASIDE)


def _breathe() -> None:
    time.sleep(_BREATH_SECONDS)
