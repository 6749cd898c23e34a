"""Session affinity: what earlier turns of a conversation say about the next one. In memory, bounded, with expiry.

A conversation that was put on the teacher for what was asked stays there; one on the student may move to the teacher,
but not back. What was answered by the other upstream because of an outage, a limit or a missing capability holds
nothing: only the results of its tool calls return to it.

A conversation is known by the id that the client gives, or else by what was said: the request after an answer begins
with all messages of the request before it. The memory of this process is a cache. Where it has no entry, after a
restart or because another replica answered the turn before, the route follows from the request itself: it contains the
earlier turns, which have the same scores on every machine (`replayed`).
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from breakeven.router.policy import Assessment, Decision, Hold, Policy, Reason, Route

MAX_CONVERSATIONS = 100_000
IDLE_SECONDS = 3600.0
MAX_TEXTS = 4096
# Reasons that follow from what was asked, so that they hold for the next turn as well.
_OF_THE_CONTENT = {
    Reason.NOVEL: Route.TEACHER,
    Reason.DIFFICULT: Route.TEACHER,
    Reason.EASY: Route.STUDENT,
    Reason.ESCALATED: Route.TEACHER,
}
# Two spellings of one message, as a client may send it in one turn and in the next, have the same encoding.
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")

# The API key, the number of messages, and the length of the last one.
Trace = tuple[str | None, int, int]


class Session(NamedTuple):
    """The conversation of one request: the `key` to remember its answer under, and what earlier turns left.

    `trace` is that of the messages which the key is made of, None where the key is an id of the client's. `begins`: the
    key of the id under which this request begins a conversation; None where it continues one, or where that is not
    counted.
    """

    key: bytes
    held: Hold | None
    trace: Trace | None = None
    begins: bytes | None = None


class _Entry(NamedTuple):
    """`parted`: requests with these messages were decided in different ways."""

    hold: Hold
    trace: Trace | None
    parted: bool = False


class Conversations:
    """The holds of up to `limit` conversations, each for `idle_seconds` after its last turn. Not thread-safe.

    Times are seconds since the Unix epoch. Keys are 32 bytes, SHA-256 with a secret of this process over an encoding
    that no two inputs share, so that no client can make its conversation take the place of another's. Long messages are
    hashed only where an entry has the same trace.
    """

    def __init__(self, limit: int = MAX_CONVERSATIONS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._limit = limit
        self._idle = idle_seconds
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        # How many entries have this trace.
        self._traces: dict[Trace, int] = {}
        self._starts: OrderedDict[bytes, int] = OrderedDict()
        secret = os.urandom(32)
        self._named, self._messages = secret + b"named", secret + b"messages"

    def __len__(self) -> int:
        return len(self._entries)

    def named_key(self, client: str | None, kind: str, name: str) -> bytes:
        """The key of the conversation that the API key `client` calls `name` in the header or field `kind`."""
        return hashlib.sha256(self._named + _ENCODER.encode((client, kind, name))).digest()

    def prefix_key(self, client: str | None, items: Sequence[Any], end: int) -> bytes | None:
        """The key of the conversation that consists of the first `end` items (messages decoded from JSON).

        None where the items hold something that has no encoding.
        """
        try:
            encoded = _ENCODER.encode((client, items[:end]))
        except (OverflowError, RecursionError, UnicodeEncodeError):
            return None
        return hashlib.sha256(self._messages + encoded).digest()

    def find(
        self, client: str | None, items: Sequence[Any], ends: Sequence[int], now: float
    ) -> tuple[int, Hold] | None:
        """What is remembered of the longest conversation of the first so many `items`, with that number; else None.

        `ends`: the numbers to look for, in ascending order.
        """
        for end in reversed(ends):
            if trace(client, items, end) in self._traces:
                key = self.prefix_key(client, items, end)
                hold = self.recall(key, now) if key is not None else None
                if hold is not None:
                    return end, hold
        return None

    def traced(self, one: Trace) -> bool:
        """Whether any entry may be of the messages with this trace."""
        return one in self._traces

    def recall(self, key: bytes, now: float) -> Hold | None:
        """What is remembered under this `key`; None where that is nothing or has expired."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.hold.until is not None and entry.hold.until <= now:
            self._drop(key)
            return None
        return entry.hold

    def remember(
        self,
        session: Session,
        decision: Decision,
        escalated: bool,
        answered: Route,
        now: float,
        provider: str = "",
    ) -> None:
        """Store that a request of this session was decided so, and that `answered` made the answer, at `now`; where
        the route has several providers, this one.

        Under an id a conversation on the teacher stays there. Under the messages themselves all who sent these share
        the decision; where that was not the same for all of them, such as with thresholds of their own, none of them is
        held by it. What the student happened to answer is not part of them, so an escalation is remembered under an id
        only.
        Beyond the limit the conversation whose last turn is the oldest is dropped.
        """
        if session.begins is not None:
            self._starts[session.begins] = self._starts.get(session.begins, 0) + 1
            self._starts.move_to_end(session.begins)
            if len(self._starts) > self._limit:
                self._starts.popitem(last=False)
        route, why = lasting(decision, session.held)
        parted = False
        before = self.recall(session.key, now)
        if session.trace is None:
            if escalated:
                route, why = Route.TEACHER, Reason.ESCALATED
            if before is not None and (before.route is Route.TEACHER or route is None):
                route, why = before.route, before.why
        elif before is not None:
            parted = self._entries[session.key].parted or (None not in (before.route, route) and before.route != route)
            route, why = (None, "") if parted else (route, why)
        if session.key in self._entries:
            self._drop(session.key)
        hold = Hold(route, why, now + self._idle, answered, answered, provider)
        self._entries[session.key] = _Entry(hold, session.trace, parted)
        if session.trace is not None:
            self._traces[session.trace] = self._traces.get(session.trace, 0) + 1
        if len(self._entries) > self._limit:
            self._drop(next(iter(self._entries)))

    def shared(self, key: bytes, *, begins: bool) -> bool:
        """Whether several conversations may have this id: not exactly one is known to have begun under it, one that
        `begins` now included. What began elsewhere, or was forgotten, is not known.
        """
        return self._starts.get(key, 0) + begins != 1

    def _drop(self, key: bytes) -> None:
        one = self._entries.pop(key).trace
        if one is not None:
            left = self._traces.pop(one) - 1
            if left:
                self._traces[one] = left


class Assessments:
    """Scores and novelties of the last `limit` texts, so that the turns of a conversation are scored once each."""

    def __init__(self, limit: int = MAX_TEXTS) -> None:
        self._limit = limit
        self._artifact = ""
        self._known: dict[str, Assessment] = {}

    def put(self, artifact: str, text: str, assessment: Assessment) -> None:
        """Store what the artifact with this hash made of a text; above the limit the oldest text is dropped."""
        if artifact != self._artifact:
            self._artifact, self._known = artifact, {}
        self._known[text] = assessment
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]

    def of(self, artifact: str, assess: Callable[[str], Assessment]) -> Callable[[str], Assessment]:
        """`assess` of the artifact with this hash, which is only called for texts that are not known."""

        def known(text: str) -> Assessment:
            found = self._known.get(text) if artifact == self._artifact else None
            if found is None:
                found = assess(text)
                self.put(artifact, text, found)
            return found

        return known


def trace(client: str | None, items: Sequence[Any], end: int) -> Trace:
    """What is cheap to read of the first `end` items: equal items have equal traces, and most others have not."""
    last = items[end - 1]
    content = last.get("content", last.get("output")) if isinstance(last, dict) else None
    return client, end, len(content) if isinstance(content, str | list) else -1


def lasting(decision: Decision, held: Hold | None) -> tuple[Route | None, str]:
    """The upstream that the next turn stays on, and why; None and "" if nothing holds it."""
    if decision.reason in _OF_THE_CONTENT:
        return _OF_THE_CONTENT[decision.reason], decision.reason
    return (held.route, held.why) if held is not None else (None, "")


def replayed(
    earlier: Iterable[str], assess: Callable[[str], Assessment], policy: Policy, band: float = 0.0
) -> Hold | None:
    """What follows under the policy from the user messages that `earlier` requests were scored by; None without any.

    The teacher once one of them was difficult or novel, else the student. From the second on the score has to exceed
    the threshold by `band`, as for the decisions that were made then.
    """
    hold = None
    for text in earlier:
        score, novelty = assess(text)
        if novelty is not None and novelty >= policy.novelty_threshold:
            return Hold(Route.TEACHER, Reason.NOVEL)
        if score >= policy.threshold + (0.0 if hold is None else band):
            return Hold(Route.TEACHER, Reason.DIFFICULT)
        hold = Hold(Route.STUDENT, Reason.EASY)
    return hold
