"""When to ask a server again what its model can do, and what its refusals say about that.

A server may restart with another context window, and a router in front of several may not report any: then the number
in the refusal of a request that was too long is what there is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from breakeven.gateway.errors import Cause, UpstreamFailure
from breakeven.gateway.upstreams.reported import Reported

_RETRY_SECONDS = 10.0
_AGAIN_SECONDS = 60.0
# So long a window is believed that only a refusal told; a server that restarted with a larger one is noticed then.
_SAID_SECONDS = 600.0
_WINDOW = re.compile(r"maximum context length (?:is|of) (\d{1,9})\b|max_model_len\W{1,3}(\d{1,9})\b", re.IGNORECASE)
# After these the server may have restarted, beside failures of the connection or the server.
_DOUBTS = frozenset({Cause.CONTEXT_OVERFLOW, Cause.STALE_CONNECTION, Cause.MODEL_NOT_FOUND})


class Learning:
    """What is known of one server's model: when it is to be asked for next, and the window that a refusal told."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self._next = 0.0
        self._said: tuple[int, float] | None = None

    @property
    def due(self) -> bool:
        """Whether the server is to be asked now."""
        return self._clock() >= self._next

    def doubt(self, failure: UpstreamFailure) -> None:
        """Take note of a failed attempt, after which the server may be another one."""
        if failure.down or failure.cause in _DOUBTS:
            self._next = 0.0
        if failure.cause is Cause.CONTEXT_OVERFLOW:
            window = said_window(failure.message)
            if window is not None:
                self._said = window, self._clock()

    def learned(self, found: Reported | None, before: Reported | None) -> Reported | None:
        """What is known now that the server was asked: what it reports, and the window that a refusal told if it
        reports none. `found` is None if it did not answer, and then what was known `before` stays.
        """
        self._next = self._clock() + (_RETRY_SECONDS if found is None else _AGAIN_SECONDS)
        known = before if found is None else found
        if (found is None and known is not None) or (known is not None and known.context_window is not None):
            return known
        if self._said is None or self._clock() - self._said[1] >= _SAID_SECONDS:
            return known
        return (known or Reported(None, None))._replace(context_window=self._said[0])


def said_window(message: str) -> int | None:
    """The context window in tokens that a refusal tells in its message, as vLLM and OpenAI do; None if it does not."""
    found = _WINDOW.search(message)
    return None if found is None else int(found[1] or found[2]) or None
