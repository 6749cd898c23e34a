"""Workloads that clients name and the config does not have, so that their requests are counted in others."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

from breakeven.gateway.config.access import WORKLOAD
from breakeven.gateway.ledger.road import UNKNOWN, Event
from breakeven.gateway.observability.metrics import Metrics
from breakeven.gateway.runtime.text_queue import TextQueue

_log = logging.getLogger("breakeven.road")

# Of so many different names something is said, and of each as often in the ledger, where it has the time.
_MOST, _AGAIN_SECONDS = 20, 3600.0
# What is said of a header that no workload could have as its name.
_NO_NAME = "(not a name)"
_TEXT = (
    "clients name this workload, which the config does not have, so that their requests are counted in the one of "
    "their key, or in default: add it to workloads, or correct the client's x-breakeven-workload"
)


class UnknownWorkloads:
    """Each name is logged once; `waiting` are those for the ledger, which `breakeven status` reads."""

    def __init__(self, metrics: Metrics, store: Callable[[list[Event]], None]) -> None:
        """`store` writes to the ledger what is said of names, and raises LedgerError."""
        self._metrics = metrics
        # When something was said of each name last, seconds since the Unix epoch.
        self._said: dict[str, float] = {}
        self.waiting = TextQueue("unknown workloads", store, _MOST, lambda one: len(one.text), 1 << 16)

    def note(self, given: str) -> None:
        """Count a request that gave this name. Never waits."""
        self._metrics.unknown_workload.inc()
        name, now = given if re.fullmatch(WORKLOAD, given) else _NO_NAME, time.time()
        last = self._said.get(name)
        if now - (last or 0.0) < _AGAIN_SECONDS or (last is None and len(self._said) >= _MOST):
            return
        self._said[name] = now
        self.waiting.add(Event(round(now * 1e6), name, UNKNOWN, _TEXT))
        if last is None:
            _log.warning("workload %s: %s", name, _TEXT)
