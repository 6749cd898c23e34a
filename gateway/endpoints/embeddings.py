"""POST /v1/embeddings: student or teacher by name, without fallback, since vectors of two models do not mix."""

from __future__ import annotations

from typing import Any

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.endpoints.base import CONTENT, Adapter, EventInfo
from breakeven.gateway.errors import RequestError
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.sse import Event
from breakeven.router.policy import Route
from breakeven.router.text import Conversation, read_chat, read_prompt


class Embeddings(Adapter):
    """The adapter of /v1/embeddings; `auto` selects the student."""

    endpoint = Endpoint.EMBEDDINGS
    path = "/embeddings"
    stream_options = False
    streams = False
    unrouted = Route.STUDENT

    def check(self, body: Body) -> None:
        given = body.get("input", str | list[Any], "a string or an array")
        # vLLM also takes a conversation, as its chat endpoint does.
        if given is None and body.is_null("messages"):
            raise RequestError(400, "'input' is missing.", param="input", code="missing_required_parameter")

    def conversation(self, body: Body) -> Conversation:
        if body.is_null("input"):
            return read_chat(body.get("messages", Any, "an array"))
        return read_prompt(body.get("input", Any, "a string or an array"))

    def read_event(self, event: Event) -> EventInfo:  # noqa: ARG002
        return CONTENT

    def error_tail(self, error: RequestError, number: int) -> bytes:  # noqa: ARG002
        return b"data: %b\n\n" % error.body()
