"""Whether an upstream may be called: its circuit breaker and its limit of concurrent requests."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Opens after consecutive failures; after a pause one probe may close it again.

    `failures` in a row open it for `pause_seconds`. While it is open `allows` is False; then it is half open
    and lets one request through, whose end decides.
    """

    def __init__(
        self, failures: int = 5, pause_seconds: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._pause = pause_seconds
        self._clock = clock
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
        if now - self._opened_at < self._pause:
            return False
        # A probe that never reported back must not keep the circuit open for ever.
        return self._probing_since is None or now - self._probing_since >= self._pause

    def retry_after_seconds(self) -> float:
        """How long until a probe may go through; 0 where one may now."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._pause - self._clock())

    def starting(self) -> None:
        """An attempt begins; while half open it is the probe."""
        if self._opened_at is not None:
            self._probing_since = self._clock()

    def succeeded(self) -> None:
        """The upstream answered."""
        self._failures = 0
        self._opened_at = self._probing_since = None

    def failed(self) -> None:
        """The upstream could not be reached, timed out or answered with a server error."""
        self._failures += 1
        if self._failures >= self._limit or self._opened_at is not None:
            self._opened_at = self._clock()
            self._probing_since = None

    def released(self) -> None:
        """An attempt ended without saying anything about the upstream, such as a client that went away."""
        self._probing_since = None
