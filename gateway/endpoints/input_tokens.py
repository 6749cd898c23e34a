"""POST /v1/responses/input_tokens: the tokens of a request of the Responses API, which no model answers."""

from __future__ import annotations

import msgspec

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.endpoints.responses import Responses
from breakeven.gateway.wire.body import Body


class InputTokens(Responses):
    """The adapter of /v1/responses/input_tokens: see `gateway.proxy.count_tokens`."""

    endpoint = Endpoint.INPUT_TOKENS
    path = "/responses/input_tokens"
    streams = False
    in_ledger = False
    limit_field: str | None = None

    def prompt(self, body: Body) -> Body | None:
        chat = self.as_chat(body)
        return None if chat is None else Body(msgspec.json.encode(chat))

    def response_id(self, answer: bytes) -> str | None:  # noqa: ARG002
        return None
