"""The conversation that a request belongs to: by the client's id, else by the messages before the last answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.wire.body import Body
from breakeven.router.policy import Hold, Policy
from breakeven.router.sticky import Session, replayed
from breakeven.router.text import Conversation

OUR_HEADER = "x-breakeven-conversation"
# Headers that agents send; the first one that is there counts.
SESSION_HEADERS = ("session_id", "session-id", "x-session-id")
_CACHE_KEY = "prompt_cache_key"


def session_id(headers: Mapping[str, str], body: Body) -> tuple[str, str] | None:
    """The client's id of the conversation, as the name of its header or field and the id; None without one.

    Our own header comes first, then the fields of the body, then the headers of agents.
    """
    if ours := headers.get(OUR_HEADER):
        return OUR_HEADER, ours
    found = _in_body(body)
    if found is not None:
        return found
    return next(((name, headers[name]) for name in SESSION_HEADERS if headers.get(name)), None)


def _in_body(body: Body) -> tuple[str, str] | None:
    """The id in a field of the body; a value of another type is the upstream's to refuse."""
    conversation = body.get("conversation", Any, "a string or an object")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if isinstance(conversation, str) and conversation:
        return "conversation", conversation
    key = body.get(_CACHE_KEY, Any, "a string")
    if isinstance(key, str) and key:
        return _CACHE_KEY, key
    metadata = body.get("metadata", Any, "an object")
    name = metadata.get("session_id") if isinstance(metadata, dict) else None
    return ("metadata.session_id", name) if isinstance(name, str) and name else None


def session_of(
    services: Services,
    adapter: Adapter,
    body: Body,
    caller: str | None,
    named: tuple[str, str] | None,
    conversation: Conversation,
) -> Session | None:
    """The session of a request of the API key `caller`, whose id is `named` (see `session_id`); remembers nothing.

    Without an id the messages before the last answer identify the conversation: a request that no answer precedes
    begins a new one. None for a request that has neither id nor messages.
    """
    conversations = services.state.conversations
    now = time.time()
    begun = None
    if named is not None:
        name = conversations.named_key(caller, *named)
        begins = not conversation.replies and adapter.previous(body) is None
        # Many send one prompt_cache_key with all requests, so that these share the upstream's cache.
        begun = name if begins and named[0] == _CACHE_KEY else None
        if named[0] != _CACHE_KEY or not conversations.shared(name, begins=begins):
            return Session(name, True, conversations.recall(name, now), begun)
    items = adapter.items(body)
    ends = [*conversation.replies, conversation.asked]
    keys = conversations.prefix_keys(caller, items, ends) if conversation.asked else None
    if keys is None:
        return None
    *earlier, key = keys
    for position, one in zip(reversed(conversation.replies), reversed(earlier), strict=True):
        found = conversations.recall(one, now)
        if found is not None:
            # Who answered matters as long as the user has said nothing since.
            known = found if position > conversation.last_user else found._replace(answered=None)
            return Session(key, False, known, begun)
    return Session(key, False, None, begun)


def held(services: Services, session: Session | None, conversation: Conversation, policy: Policy) -> Hold | None:
    """What earlier turns say about this one: as remembered, else as their texts are scored; None without any."""
    remembered = session.held if session is not None else None
    if remembered is not None and remembered.route is not None:
        return remembered
    replay = replayed(conversation.earlier, services.artifact.assess, policy)
    if remembered is None:
        return replay
    return remembered if replay is None else replay._replace(answered=remembered.answered)
