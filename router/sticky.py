"""Steady conversations: which upstream a conversation is on. Pure state, bounded and expiring.

A conversation that was on the teacher stays there; one on the student may go up, never silently down. What
this process remembers is a shortcut and knows about fallbacks and escalations; what it does not remember,
after a restart or because another replica answered the turn before, is worked out from the conversation
itself: its earlier turns are in the request and have the same scores on every machine (`replayed`).
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
    route: Route
    until: float


class Conversations:
    """What each conversation was last on. Not for several threads at once."""

    def __init__(self, limit: int = MAX_CONVERSATIONS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._limit = limit
        self._idle = idle_seconds
        self._held: OrderedDict[bytes, _Held] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def recall(self, key: bytes, now: float) -> Route | None:
        """Its route, None where nothing is known or it was idle for too long. `now` in seconds."""
        held = self._held.get(key)
        if held is None:
            return None
        if held.until <= now:
            del self._held[key]
            return None
        return held.route

    def remember(self, key: bytes, route: Route, now: float) -> None:
        """A turn was answered by `route`. The teacher is never forgotten for the student."""
        if self.recall(key, now) is Route.TEACHER:
            route = Route.TEACHER
        self._held[key] = _Held(route, now + self._idle)
        self._held.move_to_end(key)
        while len(self._held) > self._limit:
            self._held.popitem(last=False)


def conversation_key(client: str | None, named: str | None, opening: str) -> bytes:
    """Which conversation a request belongs to.

    `client` is the name of the API key, `named` the id that the client gave, if any; else it is the opening,
    system prompt and first user message, that tells conversations apart.
    """
    parts = (client or "", "id" if named else "opening", named[:_MAX_HEADER] if named else opening)
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


def replayed(earlier: Iterable[str], assess: Callable[[str], Assessment], policy: Policy) -> Route | None:
    """Where the earlier turns of a conversation went, as far as the policy says; None without any."""
    route = None
    for text in earlier:
        score, novelty = assess(text)
        if score >= policy.threshold or (novelty is not None and novelty >= policy.novelty_threshold):
            return Route.TEACHER
        route = Route.STUDENT
    return route
