"""The conversation that a request belongs to: by the client's id, else by the messages before the last answer."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from breakeven.gateway.config.schema import Config
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.policy.unit import Unit
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.lenient_json import read_object
from breakeven.router.policy import Decision, Hold, Policy, Route
from breakeven.router.sticky import Session, lasting, replayed, trace
from breakeven.router.text import Conversation

OUR_HEADER = "x-breakeven-conversation"
# Headers that agents send; the first one that is there counts.
SESSION_HEADERS = ("session_id", "session-id", "x-session-id", "conversation_id", "x-claude-code-session-id")
_CACHE_KEY = "prompt_cache_key"
_HEADERS = frozenset({OUR_HEADER, *SESSION_HEADERS})
_SESSION_FIELD = "session_id"
_ID_FIELDS = frozenset({"conversation", _CACHE_KEY, "metadata", _SESSION_FIELD})
_USER_SESSION = re.compile(r"_session_([0-9A-Za-z-]{8,64})\Z")
# Up to here a body is hashed in the time of a few dictionary look-ups.
_SHORT_BYTES = 8192


def session_id(headers: Mapping[str, str], body: Body) -> tuple[str, str] | None:
    """The client's id of the conversation, as the name of its header or field and the id; None without one.

    Our own header comes first, then the fields of the body, then the headers of agents. A `prompt_cache_key` may be
    that of a whole application: beside the id of a session it counts together with that one.
    """
    if _HEADERS.isdisjoint(headers) and not body.has_any(_ID_FIELDS):
        return None
    if ours := headers.get(OUR_HEADER):
        return OUR_HEADER, ours
    conversation = body.get("conversation", Any, "a string or an object")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if isinstance(conversation, str) and conversation:
        return "conversation", conversation
    session = _in_metadata(body)
    given = body.get(_SESSION_FIELD, Any, "a string")
    if session is None and isinstance(given, str) and given:
        session = "field session_id", given
    if session is None:
        session = next(((name, headers[name]) for name in SESSION_HEADERS if headers.get(name)), None)
    key = body.get(_CACHE_KEY, Any, "a string")
    if not (isinstance(key, str) and key):
        return session
    if session is None:
        return _CACHE_KEY, key
    # With the length of the first no other pair is written like this.
    return f"{_CACHE_KEY} {session[0]}", f"{len(key)} {key} {session[1]}"


def _in_metadata(body: Body) -> tuple[str, str] | None:
    """The id of the session in the metadata; a value of another type is the upstream's to refuse."""
    metadata = body.get("metadata", Any, "an object")
    if not isinstance(metadata, dict):
        return None
    name = metadata.get("session_id")
    if isinstance(name, str) and name:
        return "metadata.session_id", name
    session = _in_user_id(metadata.get("user_id"))
    return ("metadata.user_id", session) if session else None


def _in_user_id(user: object) -> str | None:
    """The id of the session that Claude Code writes into the field of the user's id, in either of two forms."""
    if not isinstance(user, str) or "session" not in user:
        return None
    if user.startswith("{"):
        named = (read_object(user.encode("utf-8", "replace")) or {}).get("session_id")
        return named if isinstance(named, str) else None
    found = _USER_SESSION.search(user)
    return found[1] if found else None


def _sees_all(config: Config) -> bool:
    """Whether no other process answers clients of this gateway: several of them share a database on a server."""
    return config.server.workers == 1 and config.ledger.url.startswith("sqlite")


class Turn:
    """One request's place in its conversation: what earlier turns say about it, and what is remembered of it.

    Without an id the messages before the last answer identify the conversation: a request that no answer precedes
    begins a new one.
    """

    def __init__(
        self, services: Services, adapter: Adapter, body: Body, caller: str | None, named: tuple[str, str] | None
    ) -> None:
        """`caller` is the name of the API key, `named` the id as `session_id` gives it. `hold` is what `held` found."""
        self._services = services
        self._adapter = adapter
        self._body = body
        self._caller = caller
        self._named = named
        self._key: bytes | None = None
        self._begins: bytes | None = None
        self.hold: Hold | None = None

    def held(self, conversation: Conversation, policy: Policy, unit: Unit) -> Hold | None:
        """What earlier turns say about this one: as remembered, else as their texts are scored; None without any.

        What is remembered may be behind where another process has answered turns since. One that was put on the teacher
        there is found in the texts, and who answered it is not known then.
        """
        known = self.hold = self._recall(conversation)
        route = None if known is None else known.route
        behind = route is Route.STUDENT and not _sees_all(self._services.config)
        if not (unit.routes and conversation.earlier and (route is None or behind)):
            return known
        artifact = unit.artifact
        assess = self._services.state.assessments.of(artifact.hash, artifact.assess)
        replay = replayed(conversation.earlier, assess, policy, artifact.noise)
        if replay is None or (behind and replay.route is Route.STUDENT):
            return known
        if known is not None and not behind:
            replay = replay._replace(answered=known.answered, called=known.called, provider=known.provider)
        self.hold = replay
        return replay

    def session(self, conversation: Conversation, decision: Decision) -> Session | None:
        """Where the answer is to be remembered; None where later turns need no memory of it, or cannot find it."""
        if self._key is not None:
            return Session(self._key, self.hold, begins=self._begins)
        if not conversation.asked:
            return None
        conversations, items = self._services.state.conversations, self._adapter.items(self._body)
        mark = trace(self._caller, items, conversation.asked)
        # That a conversation is on the student follows from its texts; for that alone a long one is not hashed.
        route, _ = lasting(decision, self.hold)
        needed = route is Route.TEACHER or self._begins or conversations.traced(mark)
        # Which of the upstreams answered matters to calls, and to what a model thought.
        needed = needed or conversation.tools or conversation.thoughts or self._services.candidate_share > 0.0
        if not needed and len(self._body) > _SHORT_BYTES:
            return None
        key = conversations.prefix_key(self._caller, items, conversation.asked)
        return Session(key, self.hold, mark, self._begins) if key is not None else None

    def _recall(self, conversation: Conversation) -> Hold | None:
        conversations, now = self._services.state.conversations, time.time()
        if self._named is not None:
            key = conversations.named_key(self._caller, *self._named)
            # Many send one prompt_cache_key with several conversations, so that these share the upstream's cache.
            counted = self._named[0] == _CACHE_KEY
            alone = counted and _sees_all(self._services.config)
            begins = not conversation.replies and self._adapter.previous(self._body) is None
            self._begins = key if counted and begins else None
            if not counted or (alone and not conversations.shared(key, begins=begins)):
                self._key = key
                return None if self._begins else conversations.recall(key, now)
        if not conversation.replies:
            return None
        items = self._adapter.items(self._body)
        found = conversations.find(self._caller, items, conversation.replies, now)
        if found is None:
            return None
        end, hold = found
        return hold if end > conversation.last_user else hold._replace(called=None)
