"""The paths below /v1 that only further models have, as the config in force names them."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from breakeven.gateway.endpoints.further import Further
from breakeven.gateway.proxy.handler import Relay
from breakeven.gateway.runtime.services import Services

_V1 = "/v1"


class FurtherPaths(BaseRoute):
    """One route for all of them, after all others: a reload of the config may bring or remove any."""

    def __init__(self, services: Callable[[], Services]) -> None:
        """`services` returns those in force now."""
        self._services = services

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full for a path that a further model has, whatever the method."""
        path: str = scope["path"]
        is_one = scope["type"] == "http" and path.startswith(_V1) and path[3:] in self._services().model_paths
        return (Match.FULL if is_one else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Relay the request."""
        await Relay(Further(scope["path"][3:]), self._services)(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        """No such path has a name."""
        raise NoMatchFound(name, path_params)
