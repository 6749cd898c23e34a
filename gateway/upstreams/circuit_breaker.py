"""The circuit breaker of an upstream: stops requests to it after repeated failures."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from breakeven.gateway.config.upstream import Breaker as BreakerConfig


class Breaker:
    """Opens after consecutive failures or a failure rate; after a pause one probe request may close it again.

    While it is open `allows` is False; after the pause it is half open and lets one request through, which closes or
    reopens it. The failure rate is taken over a full window of attempts only.
    """

    def __init__(self, config: BreakerConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._config = config
        self._clock = clock
        self._consecutive_failures = 0
        self._recent: deque[bool] = deque(maxlen=config.window_requests)
        self._failures = 0
        self._opened_at: float | None = None
        self._probing_since: float | None = None

    @property
    def open(self) -> bool:
        """True from the opening until a probe request has succeeded."""
        return self._opened_at is not None

    @property
    def allows(self) -> bool:
        """Whether a request may be sent now."""
        if self._opened_at is None:
            return True
        now = self._clock()
        if now - self._opened_at < self._config.pause_seconds:
            return False
        # A probe whose end was never reported must not keep the circuit open forever.
        return self._probing_since is None or now - self._probing_since >= self._config.pause_seconds

    def retry_after_seconds(self) -> float:
        """Seconds until a probe request may be sent; 0 if a request may be sent now."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._config.pause_seconds - self._clock())

    def starting(self) -> None:
        """Record the start of an attempt; while half open it is the probe."""
        if self._opened_at is not None:
            self._probing_since = self._clock()

    def succeeded(self) -> bool:
        """Record an attempt that the upstream answered; closes the circuit. Whether it was open."""
        self._consecutive_failures = 0
        was_open = self._opened_at is not None
        if was_open:
            self._opened_at = self._probing_since = None
            self._recent.clear()
            self._failures = 0
        self._record(False)
        return was_open

    def failed(self) -> None:
        """Record an attempt that failed: connection, timeout or server error. May open the circuit."""
        self._consecutive_failures += 1
        self._record(True)
        window = self._config.window_requests
        too_many = len(self._recent) == window and self._failures >= self._config.failure_rate * window
        if self._consecutive_failures >= self._config.consecutive_failures or too_many or self._opened_at is not None:
            self._opened_at = self._clock()
            self._probing_since = None

    def released(self) -> None:
        """Record an attempt that neither failed nor succeeded, such as one whose client disconnected."""
        self._probing_since = None

    def _record(self, failure: bool) -> None:
        recent = self._recent
        if len(recent) == recent.maxlen:
            self._failures -= recent[0]
        recent.append(failure)
        self._failures += failure
