"""Which upstream stores which response of /v1/responses."""

from __future__ import annotations

from collections import OrderedDict

from breakeven.router.policy import Route


class ResponseAffinity:
    """Which upstream stores which response of /v1/responses; the `size` most recent ones are known."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._routes: OrderedDict[str, Route] = OrderedDict()
        # Only of those that are not at the first provider of their route.
        self._providers: dict[str, str] = {}

    def put(self, response_id: str, route: Route, provider: str = "") -> None:
        """Remember that `provider` of `route` stores this response; the oldest entry is dropped above `size`."""
        self._routes[response_id] = route
        if provider:
            self._providers[response_id] = provider
        if len(self._routes) > self._size:
            oldest, _ = self._routes.popitem(last=False)
            self._providers.pop(oldest, None)

    def forget(self, response_id: str) -> None:
        """Drop what is known of this response."""
        self._routes.pop(response_id, None)
        self._providers.pop(response_id, None)

    def get(self, response_id: str | None) -> Route | None:
        """The upstream that stores this response; None for an unknown or absent id."""
        return None if response_id is None else self._routes.get(response_id)

    def provider(self, response_id: str) -> str:
        """Which provider of its route stores a response that `get` knows; "" for the first one."""
        return self._providers.get(response_id, "")
