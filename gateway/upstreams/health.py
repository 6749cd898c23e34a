"""How an upstream is doing: what its last call came to, and the log lines for failures and its circuit."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Literal, NamedTuple

from breakeven.gateway.errors import Cause
from breakeven.gateway.upstreams.causes import ADVICE, OF_THE_REQUEST
from breakeven.gateway.upstreams.circuit_breaker import Breaker

_log = logging.getLogger("breakeven.upstream")

# The same cause at the same upstream is logged again after this long; each request's own line has it anyway.
_REPEAT_SECONDS = 60.0

State = Literal["unknown", "up", "failing", "down"]


class Failure(NamedTuple):
    """A failed call: when, in microseconds since the Unix epoch, its HTTP status, None without an answer, and what the
    upstream calls it. `detail` may name the upstream's host.
    """

    cause: Cause
    at: int
    status: int | None = None
    request_id: str | None = None
    detail: str = ""

    def __str__(self) -> str:
        advice = ADVICE[self.cause]
        said = f" ({self.detail})" if self.detail else ""
        return f"{self.cause}: {advice.meaning}{said}; {advice.remedy}"


class Health:
    """What became of the calls to one upstream since this process started, or since its config changed.

    `failure` is that of the last call, None if that was answered; `failures` counts them by cause. `tried` says whether
    a request was sent: whether the upstream can be reached is no answer of its model.
    """

    def __init__(self, title: str, breaker: Breaker, clock: Callable[[], float] = time.monotonic) -> None:
        """`title` is what log lines call the upstream; `clock` gives monotonic seconds."""
        self._title = title
        self._breaker = breaker
        self._clock = clock
        self._logged: dict[Cause, float] = {}
        self._opened_at = 0.0
        self.tried = False
        self.failure: Failure | None = None
        self.failures: Counter[Cause] = Counter()

    @property
    def state(self) -> State:
        """unknown: nothing was tried; down: its circuit is open; failing: the last call failed; else up.

        An upstream that limits the rate of requests is up.
        """
        if self._breaker.open:
            return "down"
        if not self.tried:
            return "unknown"
        return "up" if self.failure is None or self.failure.cause is Cause.RATE_LIMITED else "failing"

    def succeeded(self) -> None:
        """Record a client's attempt that was answered, in the circuit breaker too, whose circuit it closes."""
        if self._breaker.succeeded():
            self._log_closed()
        self.tried = True
        self.failure = None

    def failed(self, failure: Failure, *, down: bool) -> None:
        """Record a client's attempt that failed. `down`: the circuit breaker counts it as a failure of the upstream;
        else it counts as answered there.
        """
        breaker = self._breaker
        was_open = breaker.open
        if down:
            breaker.failed()
        elif failure.cause is Cause.STALE_CONNECTION:
            breaker.released()
        else:
            breaker.succeeded()
        self.note(failure)
        if breaker.open and not was_open:
            self._opened_at = self._clock()
            _log.error(
                "the circuit of the %s opened: no requests are sent to it, and one to try it again in %.1f s; the last "
                "failure was %s",
                self._title,
                breaker.retry_after_seconds(),
                failure,
            )
        elif was_open and not breaker.open:
            self._log_closed()

    def answered(self) -> None:
        """Record a call that was answered and that no client waits for: it is not the circuit breaker's."""
        self.tried = True
        self.failure = None

    def note(self, failure: Failure) -> None:
        """Record a call that failed, and log it unless the same was logged within a minute; not the circuit breaker's
        either.
        """
        self.failures[failure.cause] += 1
        if failure.cause is Cause.STALE_CONNECTION:
            return
        self.tried = True
        if failure.cause in OF_THE_REQUEST:
            self.failure = None
            return
        self.failure = failure
        self._log_failure(failure)

    def not_reached(self, failure: Failure) -> None:
        """Record that the upstream could not be reached when the gateway started; no request was tried by that."""
        if not self.tried:
            self.failure = failure

    def _log_failure(self, failure: Failure) -> None:
        now = self._clock()
        logged = self._logged.get(failure.cause)
        if logged is None or now - logged >= _REPEAT_SECONDS:
            self._logged[failure.cause] = now
            _log.warning("a call to the %s failed: %s", self._title, failure)

    def _log_closed(self) -> None:
        seconds = self._clock() - self._opened_at
        _log.warning("the circuit of the %s closed: it answers again, after %.1f s", self._title, seconds)
