"""Session affinity: which upstream a conversation was routed to before. In memory, bounded, with expiry.

A conversation that was on the teacher stays there; one on the student may move to the teacher, but not back. The memory
of this process is a cache that also knows fallbacks and escalations. Where it has no entry, after a restart or because
another replica answered the turn before, the route follows from the request itself: it contains the earlier turns,
which have the same scores on every machine (`replayed`).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from breakeven.router.policy import Assessment, Policy, Route

MAX_CONVERSATIONS = 100_000
IDLE_SECONDS = 3600.0
_MAX_HEADER = 256


class _Held(NamedTuple):
    """The route of a conversation, and when it expires, in seconds of the caller's clock."""

    route: Route
    until: float


class Conversations:
    """The route of up to `limit` conversations, each for `idle_seconds` after its last turn. Not thread-safe."""

    def __init__(self, limit: int = MAX_CONVERSATIONS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._limit = limit
        self._idle = idle_seconds
        self._held: OrderedDict[bytes, _Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def recall(self, key: bytes, now: float) -> Route | None:
        """The route of the conversation with this `key`; None where it is unknown or has expired. `now` in seconds."""
        held = self._held.get(key)
        if held is None:
            return None
        if held.until <= now:
            del self._held[key]
            return None
        return held.route

    def remember(self, key: bytes, route: Route, now: float) -> None:
        """Store that `route` answered a turn at `now` (seconds). A conversation on the teacher stays on the teacher.

        Beyond the limit the conversation whose last turn is the oldest is dropped.
        """
        if self.recall(key, now) is Route.TEACHER:
            route = Route.TEACHER
        self._held[key] = _Held(route, now + self._idle)
        self._held.move_to_end(key)
        while len(self._held) > self._limit:
            self._held.popitem(last=False)


def conversation_key(client: str | None, named: str | None, opening: str) -> bytes:
    """The key of the conversation that a request belongs to, 16 bytes.

    `client` is the name of the API key, `named` the conversation id that the client sent, if any; without one the
    `opening`, system prompt and first user message, identifies the conversation.
    """
    parts = (client or "", "id" if named else "opening", named[:_MAX_HEADER] if named else opening)
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


def replayed(earlier: Iterable[str], assess: Callable[[str], Assessment], policy: Policy) -> Route | None:
    """The route that a conversation has after its `earlier` user messages under the policy; None without any.

    The teacher once one of them was difficult or novel, else the student.
    """
    route = None
    for text in earlier:
        score, novelty = assess(text)
        if score >= policy.threshold or (novelty is not None and novelty >= policy.novelty_threshold):
            return Route.TEACHER
        route = Route.STUDENT
    return route
