"""Whether an upstream is left alone after failures: its circuit breaker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from breakeven.gateway.config.schema import Breaker as BreakerConfig


class Breaker:
    """Opens after failures in a row, or at a share of failures; after a pause one probe may close it again.

    While it is open `allows` is False; after the pause it is half open and lets one request through, whose
    end decides. The share counts once the window is full.
    """

    def __init__(self, config: BreakerConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._in_a_row = 0
        self._recent: deque[bool] = deque(maxlen=config.window_requests)
        self._failures = 0
        self._opened_at: float | None = None
        self._probing_since: float | None = None

    @property
    def open(self) -> bool:
        """True from the opening until a probe has succeeded."""
        return self._opened_at is not None

    @property
    def allows(self) -> bool:
        """Whether a request may go through now."""
        if self._opened_at is None:
            return True
        now = self._clock()
        if now - self._opened_at < self._config.pause_seconds:
            return False
        # A probe that never reported back must not keep the circuit open for ever.
        return self._probing_since is None or now - self._probing_since >= self._config.pause_seconds

    def retry_after_seconds(self) -> float:
        """How long until a probe may go through; 0 where one may now."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._config.pause_seconds - self._clock())

    def starting(self) -> None:
        """An attempt begins; while half open it is the probe."""
        if self._opened_at is not None:
            self._probing_since = self._clock()

    def succeeded(self) -> None:
        """The upstream answered."""
        self._in_a_row = 0
        if self._opened_at is not None:
            self._opened_at = self._probing_since = None
            self._recent.clear()
            self._failures = 0
        self._remember(False)

    def failed(self) -> None:
        """The upstream could not be reached, timed out or answered with a server error."""
        self._in_a_row += 1
        self._remember(True)
        window = self._config.window_requests
        too_many = len(self._recent) == window and self._failures >= self._config.failure_rate * window
        if self._in_a_row >= self._config.consecutive_failures or too_many or self._opened_at is not None:
            self._opened_at = self._clock()
            self._probing_since = None

    def released(self) -> None:
        """An attempt ended without saying anything about the upstream, such as a client that went away."""
        self._probing_since = None

    def _remember(self, failure: bool) -> None:
        recent = self._recent
        if len(recent) == recent.maxlen:
            self._failures -= recent[0]
        recent.append(failure)
        self._failures += failure
