"""Writing settled records to the database: a journal, a queue, and one thread that commits in batches."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy import Engine

from breakeven.gateway.accounting.record import RequestRecord
from breakeven.gateway.ledger.batches import BATCH, UNUSABLE, Batches, said, waits
from breakeven.gateway.ledger.journal import Segment, make_folder

_log = logging.getLogger("breakeven.ledger")

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
_LOOK_SECONDS = 5.0  # how often it is looked whether the journal and the database's file are still there
# Above this many records in memory, further ones are kept in the journal only.
_MAX_QUEUED = 50_000
# The same while the journal cannot be written: further ones are lost, and counted.
_MAX_QUEUED_WITHOUT_JOURNAL = 500_000


class Writer:
    """Accepts records without waiting and stores them in the database in the background, each exactly once.

    `maintenance`, if set, is called in the thread every 30 seconds.
    """

    def __init__(self, engine: Engine, folder: Path, owner: str | None = None) -> None:
        """`folder`: the journal's, shared by the processes of one machine. `owner`: the database that it is for."""
        self._folder = folder
        self._owner = owner
        self._batches = Batches(engine, folder)
        lock = threading.Lock()
        self._work = threading.Condition(lock)
        self._done = threading.Condition(lock)
        self._asleep = False
        self._queue: deque[tuple[RequestRecord, Segment | None]] = deque()
        self._segment: Segment | None = None
        self._overflowed: list[Segment] = []
        self._closing = False
        self._accepted = 0
        # While fewer of those accepted are stored, batches are not gathered.
        self._urgent_for = 0
        self._failures = 0
        self.journal_failures = 0
        self.unusable: str | None = None  # why the database could not be used the last time; None while it can
        self._remade = 0
        self.lost = 0
        self.maintenance: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name="breakeven-ledger", daemon=True)

    def start(self, *, prepare: Callable[[], None], later: bool = False) -> Exception | None:
        """Prepare the database, recover the journals of crashed processes, then start the thread.

        `prepare` makes or upgrades the tables, also again where the database's file is replaced. Raises OSError for the
        journal, and one of UNUSABLE for the database; with `later` that is returned, and tried again in the thread.
        """
        self._batches.prepare = prepare
        make_folder(self._folder, self._owner)
        failed = None
        try:
            self._batches.make_ready()
            self._batches.recover_orphans()
            if self.maintenance is not None:
                self.maintenance()
        except UNUSABLE as error:
            if not later or not waits(error):
                self._batches.file.close()
                raise
            failed, self.unusable = error, said(error)
        self._thread.start()
        return failed

    def prepare_again(self) -> None:
        """Have the thread prepare the database again before it stores anything else."""
        self._batches.prepared = False

    @property
    def pending(self) -> int:
        """The number of records that are settled and not in the database yet."""
        return len(self._queue) + sum(segment.waiting for segment in self._overflowed)

    @property
    def write_failures(self) -> int:
        """The number of failed writes to the database, with the records that were set aside."""
        return self._failures + self._batches.set_aside

    @property
    def remade(self) -> int:
        """How often the journal's folder or the database's file was gone, or replaced, and made again."""
        return self._remade + self._batches.file.remade

    def put(self, record: RequestRecord, encoded: bytes | None = None) -> None:
        """Accept a record; `encoded` is its JSON, if the caller has it already.

        It is in the journal when this returns. Never raises, and never waits for the database.
        """
        line = (msgspec.json.encode(record) if encoded is None else encoded) + b"\n"
        with self._work:
            self._accepted += 1
            segment = self._append(line)
            if len(self._queue) < (_MAX_QUEUED if segment is not None else _MAX_QUEUED_WITHOUT_JOURNAL):
                self._queue.append((record, segment))
            elif segment is None:
                self.lost += 1
                self._accepted -= 1
            elif segment not in self._overflowed:
                self._overflowed.append(segment)
            if self._asleep:  # one that is gathering a batch need not be woken for each record
                self._asleep = False
                self._work.notify()

    def flush(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until all records accepted by now are in the database; False if they are not."""
        with self._work:
            self._urgent_for = wanted = self._accepted
            self._work.notify()
            return self._done.wait_for(lambda: self._stored_count >= wanted, timeout)

    @property
    def _stored_count(self) -> int:
        return self._accepted - self.pending

    @property
    def _urgent(self) -> bool:
        return self._stored_count < self._urgent_for

    def close(self, timeout: float) -> None:
        """Store pending records and stop, within `timeout` seconds. What cannot be stored stays in the journal."""
        with self._work:
            self._closing, self._urgent_for = True, self._accepted
            self._work.notify()
        self._thread.join(timeout)
        with self._work:
            for segment in {self._segment, *self._overflowed, *(held for _, held in self._queue)}:
                if segment is not None:
                    segment.close()
            self._segment = None
        self._batches.file.close()

    def _append(self, line: bytes) -> Segment | None:
        try:
            if self._segment is None or self._segment.full:
                if not self._folder.exists():
                    self._mend_journal()
                previous, self._segment = self._segment, Segment(self._folder)
                if previous is not None and previous.waiting == 0:
                    previous.remove()
            self._segment.append(line)
            if self._segment.gone:
                self._mend_journal()
        except OSError as error:
            self._journal_failed(error)
            return None
        return self._segment

    def _journal_failed(self, error: OSError) -> None:
        self.journal_failures += 1
        _log.error("cannot write the journal (%s); records are kept in memory only", error.strerror or error)

    def _mend_journal(self) -> None:
        """Make the journal's folder again, with all that waits in it: somebody deleted it. Raises OSError."""
        make_folder(self._folder, self._owner)
        for segment in {self._segment, *self._overflowed, *(held for _, held in self._queue)}:
            if segment is not None and segment.gone:
                segment.restore(self._folder)
        self._remade += 1
        _log.error("the journal was deleted while it was in use, and was made again with all that it had")

    def _look(self) -> None:
        """Notice that the journal or the database's file was deleted, also while nothing is written."""
        with self._work:
            if not self._folder.exists() or (self._segment is not None and self._segment.gone):
                try:
                    self._mend_journal()
                except OSError as error:
                    self._journal_failed(error)
        self._batches.make_ready()

    def _run(self) -> None:
        if sys.platform == "linux":  # elsewhere it would apply to the whole process
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        failures = 0
        maintained_at = time.monotonic()
        while True:
            batch = self._gather()
            try:
                self._look()
                if batch:
                    urgent = self._urgent or self.pending > _BACKLOG
                    yield_gil = None if urgent else _yield_gil
                    self._batches.store([record for record, _ in batch], yield_gil)
                    self._stored(batch)
                # Also while requests keep arriving, but not while they arrive faster than they are stored.
                if self._overflowed and len(self._queue) < BATCH:
                    self._store_overflowed()
                if self.unusable is not None or time.monotonic() - maintained_at > _MAINTENANCE_SECONDS:
                    maintained_at = time.monotonic()
                    self._batches.recover_orphans()
                    if self.maintenance is not None:
                        self.maintenance()
                    self._usable_again()
                failures = 0
            except UNUSABLE as error:
                self._failures += 1
                self.unusable = said(error)
                if failures == 0:
                    _log.error("%d records wait for the ledger: %s", self.pending, self.unusable)
                pause = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
                failures += 1
                if self._closing:
                    return
                self._compress_overflowed()
                with self._work:
                    self._work.wait_for(lambda: self._closing, pause)
                continue
            with self._work:
                self._done.notify_all()
                if self.pending == 0 and self._closing:
                    return

    def _usable_again(self) -> None:
        if self.unusable is not None:
            self.unusable = None
            _log.warning("the ledger can be used again; %d records wait", self.pending)

    def _gather(self) -> list[tuple[RequestRecord, Segment | None]]:
        """The next batch: waits until there is work and then, unless it is urgent, for more records to arrive."""

        def has_work() -> bool:
            self._asleep = not (self._queue or self._closing or self._overflowed or self._urgent)
            return not self._asleep

        with self._work:
            # While it cannot be used, it is tried whether it can.
            self._work.wait_for(has_work, 0.0 if self.unusable is not None else _LOOK_SECONDS)
            self._asleep = False
            if len(self._queue) < BATCH:
                self._work.wait_for(lambda: self._urgent or self._closing, _GATHER_SECONDS)
            return list(itertools.islice(self._queue, BATCH))

    def _stored(self, batch: list[tuple[RequestRecord, Segment | None]]) -> None:
        with self._work:
            for record, segment in batch:
                self._queue.popleft()
                if segment in self._overflowed:
                    self._batches.stored.add(record.id)  # it is read from there again
                elif segment is not None:
                    segment.stored(1, keep=segment is self._segment)

    def _store_overflowed(self) -> None:
        """Store the oldest segment of records kept in the journal only; those stored already are skipped."""
        with self._work:
            segment = self._overflowed[0]
            if segment is self._segment:
                self._segment = None
            if any(held is segment for _, held in self._queue):
                return  # first these, which are then known to be stored
        self._batches.store_all(segment.read(), own=True)
        with self._work:
            self._overflowed.remove(segment)
            segment.remove()

    def _compress_overflowed(self) -> None:
        """Compress what the journal alone has, so that its volume holds more."""
        with contextlib.suppress(OSError):  # it is then left as it is
            for segment in tuple(self._overflowed):
                if self._closing:
                    return  # `close` does not wait long, and then lets go of the files
                if segment is not self._segment and not segment.compressed:
                    copy = segment.compress()
                    with self._work:
                        segment.replace(*copy)


def _yield_gil() -> None:
    time.sleep(_YIELD_SECONDS)
