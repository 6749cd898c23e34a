"""/v1/responses/{id} and what is below it: responses that an upstream stores."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote_plus

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.endpoints.base import EventInfo
from breakeven.gateway.endpoints.responses import Responses
from breakeven.gateway.wire.body import as_boolean
from breakeven.gateway.wire.sse import Event

# Ids of all servers known; a path with anything else could be another path.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:=~-]{0,511}")
# What a URL may hold in a query, so that these bytes pass as they were sent.
_IN_QUERY = "!$%&'()*+,-./:;=?@[]_~"


class Operation(NamedTuple):
    """One operation: its method, and its path below that of the response; the OpenAPI document has the summary."""

    method: str
    below: str
    name: str
    summary: str


RETRIEVE = Operation("GET", "", "get_response", "The response, or with `stream=true` its events.")
DELETE = Operation("DELETE", "", "delete_response", "Delete the response.")
CANCEL = Operation("POST", "/cancel", "cancel_response", "Cancel a response that is made in the background.")
INPUT_ITEMS = Operation("GET", "/input_items", "list_input_items", "List the items of the response's input.")
OPERATIONS = (RETRIEVE, DELETE, CANCEL, INPUT_ITEMS)


class StoredResponse(Responses):
    """The adapter of one request about one stored response. Its `usage` is that of the response, not of the request."""

    endpoint = Endpoint.STORED_RESPONSES
    in_ledger = False

    def __init__(self, operation: Operation, id: str, query: str = "", withheld: Collection[str] = ()) -> None:
        """`query` is the client's, as it was sent; parameters named in `withheld` do not go upstream."""
        self.operation = operation
        self.method = operation.method
        self.id = id
        self.valid = _ID.fullmatch(id) is not None
        passed = "&".join(_passed(query, withheld))
        path = f"/responses/{quote(id, safe='')}{operation.below}"
        self.path = f"{path}?{passed}" if passed else path
        self.stream = operation is RETRIEVE and as_boolean(dict(parse_qsl(query)).get("stream")) is True

    @property
    def template(self) -> str:
        return f"/responses/{{id}}{self.operation.below}"

    def response_id(self, answer: bytes) -> str | None:  # noqa: ARG002
        return None

    def failed(self, answer: bytes) -> object:  # noqa: ARG002
        # That is what was asked for.
        return None

    def read_event(self, event: Event) -> EventInfo:
        info = super().read_event(event)
        if info.response_id is not None:
            info.response_id = None
        return info


def _passed(query: str, withheld: Collection[str]) -> list[str]:
    return [
        quote(part, safe=_IN_QUERY)
        for part in query.split("&")
        if part and unquote_plus(part.partition("=")[0]) not in withheld
    ]
