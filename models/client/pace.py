"""How many calls at once, and when: slow start, then additive increase and halving, as TCP does it."""

from __future__ import annotations

_START = 4
_LONGEST = 60.0


class Pace:
    """The limit of calls at once, and the moment before which none may start. Times in seconds of one clock."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.not_before = 0.0
        self._limit = float(min(_START, most))
        self._slow_start = True
        self._troubles = 0
        self._halved_at = float("-inf")

    @property
    def limit(self) -> int:
        """Calls at once."""
        return int(self._limit)

    def success(self) -> None:
        """A call was answered."""
        self._troubles = 0
        step = 1.0 if self._slow_start else 1.0 / self._limit
        self._limit = min(self._limit + step, float(self.most))

    def trouble(self, now: float, sent_at: float, retry_after: float | None, jitter: float) -> None:
        """A call was turned away: wait as long as the API asks, or ever longer; `jitter` in [0, 1).

        The limit is halved once for all calls that were sent before it was last halved.
        """
        self._troubles += 1
        if sent_at > self._halved_at:
            self._limit = max(self._limit / 2, 1.0)
            self._slow_start = False
            self._halved_at = now
        wait = retry_after if retry_after is not None else 0.5 * 2.0 ** min(self._troubles - 1, 10) * (0.5 + jitter / 2)
        self.not_before = max(self.not_before, now + min(wait, _LONGEST if retry_after is None else wait))
