"""Concurrency control: slow start, then additive increase and multiplicative decrease (AIMD), as in TCP.

Chiu and Jain, 1989, "Analysis of the increase and decrease algorithms for congestion avoidance".
"""

from __future__ import annotations

_START = 4
_MAX_BACKOFF_SECONDS = 60.0


class AimdLimit:
    """How many calls may run concurrently, at most `most`, and the time before which none may start.

    Times are seconds of the caller's monotonic clock.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.not_before = 0.0
        self._limit = float(min(_START, most))
        self._slow_start = True
        self._rejections = 0
        self._halved_at = float("-inf")

    @property
    def limit(self) -> int:
        """The number of concurrent calls that are allowed now, at least 1."""
        return int(self._limit)

    def success(self) -> None:
        """Record that a call was answered, which raises the limit."""
        self._rejections = 0
        step = 1.0 if self._slow_start else 1.0 / self._limit
        self._limit = min(self._limit + step, float(self.most))

    def rejected(self, now: float, sent_at: float, retry_after: float | None, jitter: float) -> None:
        """Record that a call was rejected: back off for `retry_after` seconds, or exponentially where the API names
        none.

        `jitter` in [0, 1) is a random number. The limit is halved, but only once for all calls sent before it was last
        halved.
        """
        self._rejections += 1
        if sent_at > self._halved_at:
            self._limit = max(self._limit / 2, 1.0)
            self._slow_start = False
            self._halved_at = now
        wait = (
            retry_after if retry_after is not None else 0.5 * 2.0 ** min(self._rejections - 1, 10) * (0.5 + jitter / 2)
        )
        self.not_before = max(self.not_before, now + min(wait, _MAX_BACKOFF_SECONDS if retry_after is None else wait))
