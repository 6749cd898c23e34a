"""Tokens and money as Prometheus metrics, read from the ledger at each scrape.

They are sums over the whole ledger: they continue after a restart, and every replica on one ledger exports the same
values (aggregate them with max, not sum).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from breakeven.gateway.errors import LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.changes import LastChange
from breakeven.gateway.ledger.statements import read
from breakeven.gateway.observability.changes import change_families
from breakeven.gateway.observability.money_families import families, state_families
from breakeven.gateway.observability.quality import quality_families
from breakeven.gateway.observability.shared_figures import Figures, SharedFigures

_log = logging.getLogger("breakeven.metrics")


# A read that takes more CPU time than this is not repeated before it is a twentieth of the time that passed.
_CHEAP_SECONDS = 0.1
_SHARE = 20
# Settled requests that are still on their way to the database belong in the numbers.
_FLUSH_SECONDS = 2.0


class MoneyCollector(Collector):
    """Reads the ledger at each scrape; while it cannot be read in time, exports the values of the last successful read.

    A ledger of years takes seconds to read: then it is read less often, so that reading takes at most a twentieth of
    one core.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        patience_seconds: float | None = None,
        folder: Path | None = None,
    ) -> None:
        """`clock` gives microseconds since the epoch. `patience_seconds`: how long a scrape waits for the ledger, None
        for as long as reading takes; what is read later is for the next scrape. `folder` is that of the workers of a
        gateway, which export the same figures.
        """
        self._ledger = ledger
        self._clock = clock
        self._patience = patience_seconds
        self._figures = SharedFigures(folder)
        self._price_sets: int | None = None
        self._changes: list[LastChange] = []
        self._reading: threading.Thread | None = None
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if self._reading is None or not self._reading.is_alive():
                self._reading = threading.Thread(target=self._read, name="breakeven-figures", daemon=True)
                self._reading.start()
            reading = self._reading
        reading.join(self._patience)
        last = self._figures.get()
        if last is not None:
            yield from quality_families(last.books)
        yield from families(
            None if last is None else last.books,
            pending=self._ledger.pending,
            write_failures=self._ledger.write_failures,
            price_sets=self._price_sets,
        )
        yield from change_families(self._changes)
        yield from state_families(
            age=None if last is None else time.monotonic() - last.read_at,
            away=self._ledger.away is not None,
            remade=self._ledger.remade,
        )

    def _read(self) -> None:
        try:
            self._ledger.flush(_FLUSH_SECONDS)
            wanted = time.monotonic()
            with self._figures.turn():
                last = self._figures.get()
                if last is None or (last.read_at < wanted and last.again_at <= time.monotonic()):
                    self._figures.put(self._read_books(last))
            self._changes = self._ledger.changes.last()
            self._price_sets = self._ledger.contradictions(self._clock())
        except (LedgerError, OSError) as error:
            self._price_sets = None
            _log.error("cannot read the ledger, exporting the previous values: %s", error)

    def _read_books(self, last: Figures | None) -> Figures:
        used, began = time.thread_time(), time.monotonic()
        # A clock that steps back must not decrease the hosting cost: Prometheus takes that for a restart.
        now = self._clock() if last is None else max(last.now, self._clock())
        books = read(self._ledger, now)
        used = time.thread_time() - used
        again = time.monotonic() + (_SHARE * used if used > _CHEAP_SECONDS else 0.0)
        return Figures(books, now, began, again)
