"""Observing the student's replicas while the gateway runs, where `student.hosting_observed` is set.

A sample stands for the time until the next one. Time before a failed sample, or before one that is more than two
intervals later, is not observed. Of the processes of one machine only one observes; several machines may, since the
ledger stores no time twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from breakeven.gateway.config.hosting import HostingObserved
from breakeven.gateway.errors import LedgerError, NotObserved
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.hosting import Span
from breakeven.gateway.upstreams.replicas import Sample, sample

_log = logging.getLogger("breakeven.hosting")

_OFF_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
# While the ledger cannot be written; older ones are lost, so that this time counts as not observed.
_MAX_SPANS = 1000


class HostingObserver:
    """Looks once every interval, and stores what it saw in the ledger."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        """`folder`: the journal's, which the processes of this machine share."""
        self._ledger = ledger
        self._lock_path = folder / "hosting-observer.lock"
        self._lock: int | None = None
        self._settings: HostingObserved | None = None
        self._last: tuple[int, Sample] | None = None
        self._spans: list[Span] = []
        self._fault: str | None = None
        # Whether any replica has answered; before, one that refuses may be a wrong address.
        self._found = False

    async def run(self, settings: Callable[[], HostingObserved | None]) -> None:
        """Observe until cancelled. `settings` gives those in force now."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                begun, current = loop.time(), settings()
                if current != self._settings:
                    self._settings, self._last, self._fault, self._found = current, None, None, False
                if current is None:
                    self._unlock()
                elif self._locked():
                    await self._observe(current)
                pause = _OFF_SECONDS if current is None else current.interval_seconds
                await asyncio.sleep(max(0.0, begun + pause - loop.time()))
        finally:
            self._unlock()

    async def _observe(self, settings: HostingObserved) -> None:
        interval = settings.interval_seconds
        patience = min(_ANSWER_SECONDS, interval)
        at = time.time_ns() // 1000
        last, self._last = self._last, None
        try:
            seen = await sample(settings, patience)
            self._found = self._found or seen.replicas > 0
            if settings.vllm_metrics and not self._found:
                raise NotObserved(
                    "student.hosting_observed.vllm_metrics: no replica has answered since the start, only refused; "
                    "check host and port, which count as none running once one has answered"
                )
        except NotObserved as error:
            if str(error) != self._fault:
                _log.warning("the student's replicas are not observed: %s", error)
            self._fault = str(error)
            return
        if self._fault is not None:
            _log.info("the student's replicas are observed again")
        self._last, self._fault = (at, seen), None
        if last is not None and 0 < at - last[0] <= 2e6 * interval:
            self._spans.append(Span(last[0], at, last[1].replicas, last[1].busy, last[1].active(seen)))
        if self._spans:
            # Later than any sample that still counts for the time since this one is stored.
            await asyncio.to_thread(self._store, at + round(1e6 * (3 * interval + 2 * patience)))

    def _store(self, due: int) -> None:
        try:
            self._ledger.observe_hosting(self._spans, due)
        except LedgerError as error:
            _log.error("observed replicas cannot be stored yet: %s", error)
            del self._spans[:-_MAX_SPANS]
        else:
            self._spans.clear()

    def _locked(self) -> bool:
        """Whether this process is the one of its machine that observes. The lock ends with the process."""
        if self._lock is None:
            try:
                file = os.open(self._lock_path, os.O_CREAT | os.O_WRONLY, 0o600)
            except OSError:
                return True  # Observing twice is correct, and only costs more.
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                self._last = None
                return False
            self._lock = file
        return True

    def _unlock(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.close(self._lock)
            self._lock = None
