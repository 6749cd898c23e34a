"""The paths that only further models have: /rerank, /audio/transcriptions, /images/generations, or any other.

Requests are JSON objects or multipart forms; answers are of any kind, and are passed on as they come.
"""

from __future__ import annotations

from typing import Any

import msgspec

from breakeven.gateway.accounting.other_usage import usage_of
from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.endpoints.base import CONTENT, Adapter, EventInfo, without_json
from breakeven.gateway.errors import RequestError
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.lenient_json import UNREADABLE, read
from breakeven.gateway.wire.sse import Event
from breakeven.router.text import Conversation

# By the first part of the path; all others are OTHER.
_ENDPOINTS = {
    "rerank": Endpoint.RERANK,
    "score": Endpoint.SCORE,
    "audio": Endpoint.AUDIO,
    "images": Endpoint.IMAGES,
}


class _Read(msgspec.Struct):
    usage: Any = None
    meta: Any = None
    service_tier: Any = None


_READ = msgspec.json.Decoder(_Read)


class Further(Adapter):
    """The adapter of one path that only further models have."""

    stream_options = False
    opaque = True

    def __init__(self, path: str) -> None:
        """`path`: below /v1, such as /audio/transcriptions."""
        self.path = path
        self.endpoint = _ENDPOINTS.get(path.split("/")[1], Endpoint.OTHER)

    def check(self, body: Body) -> None:
        """Anything is the upstream's to judge."""

    def conversation(self, body: Body) -> Conversation:
        raise NotImplementedError("no request of this path is routed")

    def usage(self, answer: bytes) -> Usage | None:
        """As OpenAI, Cohere, Jina and vLLM report it; None where none is reported, or the answer is no JSON object."""
        try:
            found = read(_READ, answer)
        except UNREADABLE:
            return None
        return usage_of({"usage": found.usage, "meta": found.meta, "service_tier": found.service_tier})

    def read_event(self, event: Event) -> EventInfo:
        if event.data is None or b'"usage"' not in event.data:
            return CONTENT if event.data != b"[DONE]" else without_json(event.data)
        return EventInfo(usage=self.usage(event.data))

    def error_tail(self, error: RequestError, number: int) -> bytes:  # noqa: ARG002
        return b"data: %b\n\n" % error.body()
