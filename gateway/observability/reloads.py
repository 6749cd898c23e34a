"""Metrics of the config that is in force, and of the files that were read since."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge


class Reloads:
    """What became of the config files that were read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metrics; the config of the start is in force."""
        self._successful = Gauge(
            "breakeven_config_last_reload_successful",
            "1 if the last config reload succeeded, 0 if it was rejected and the previous config is still active.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._read = Counter(
            "breakeven_config_reloads",
            "Config files that were read while the gateway ran, by outcome: `applied`, or `refused` for a bad one.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("applied", "refused"):
            self._read.labels(outcome)
        self._at = Gauge(
            "breakeven_config_last_reload_success_timestamp_seconds",
            "Unix time at which the config in force was read, at the start or by a reload.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._in_force()

    def applied(self) -> None:
        """A file was read and is in force."""
        self._in_force()
        self._read.labels("applied").inc()

    def refused(self) -> None:
        """A file was refused; the config before it stays in force."""
        self._successful.set(0)
        self._read.labels("refused").inc()

    def _in_force(self) -> None:
        self._successful.set(1)
        self._at.set(time.time_ns() // 1_000_000 / 1000)
