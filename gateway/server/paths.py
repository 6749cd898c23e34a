"""The spellings of paths that clients use, and WebSocket upgrades, before the app's own routes.

`/chat/completions`, `//v1/chat/completions/` and Azure's `/openai/v1/chat/completions` are `/v1/chat/completions`; so
is `/openai/deployments/NAME/chat/completions`, whose NAME is the model. `/anthropic/v1/messages` and `/v1/v1/messages`
are `/v1/messages`. A request that wants a WebSocket is answered with 426, upon which clients such as Codex send the
same over HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from urllib.parse import unquote

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from breakeven.gateway.errors import RequestError
from breakeven.gateway.proxy.downstream import DEPLOYMENT

_SLASHES = re.compile(rb"/{2,}")
# Of a client that adds it to a base URL which ends in it.
_TWICE = re.compile(rb"\A((?:/openai|/anthropic)?/v1)(?:/v1)+(?=/)")
_PREFIXED = (b"/openai/v1/", b"/anthropic/v1/")
# What load balancers and probes ask.
_STATUS = frozenset({b"/healthz", b"/health", b"/ping", b"/readyz", b"/version"})
_DEPLOYMENT = re.compile(rb"/openai/deployments/([^/]+)(/.+)")


class ClientPaths:
    """Middleware that gives a request the path of the route that it means. Paths that mean nothing stay as they are."""

    def __init__(self, app: ASGIApp, relayed: Collection[str], further: Callable[[], Collection[str]] = tuple) -> None:
        """`relayed`: paths of endpoints below /v1, such as /chat/completions; `further` gives those that further models
        have now.
        """
        self._app = app
        self._relayed = frozenset(path.encode() for path in relayed)
        self._further = further

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _wants_websocket(scope):
            await _UPGRADE(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # The server leaves the body of the answer away.
            scope = {**scope, "method": "GET"}
        path, deployment = self._meant(scope.get("raw_path") or scope["path"].encode())
        if path is not None:
            scope = {**scope, "path": unquote(path.decode("latin-1")), "raw_path": path, DEPLOYMENT: deployment}
        await self._app(scope, receive, send)

    def _meant(self, raw: bytes) -> tuple[bytes | None, str | None]:
        """The path of the route, None where the given one is right as it is, and Azure's name of a deployment."""
        path = _SLASHES.sub(b"/", raw)
        path = _TWICE.sub(rb"\1", path.rstrip(b"/")) or b"/"
        deployment = None
        found = _DEPLOYMENT.fullmatch(path)
        if found is not None and self._is_relayed(found[2]):
            deployment, path = unquote(found[1].decode("latin-1")), b"/v1" + found[2]
        elif path.startswith(_PREFIXED):
            path = path[path.index(b"/v1/") :]
        elif self._is_relayed(path.removeprefix(b"/openai")):
            path = b"/v1" + path.removeprefix(b"/openai")
        # Pages and the paths for operators have one spelling.
        known = path.startswith(b"/v1/") or path in _STATUS
        return (path if path != raw and known else None), deployment

    def _is_relayed(self, path: bytes) -> bool:
        known = path in self._relayed or path == b"/models" or path.startswith((b"/responses/", b"/models/"))
        return known or path.decode("latin-1") in self._further()


def _wants_websocket(scope: Scope) -> bool:
    return any(name == b"upgrade" and value.strip().lower() == b"websocket" for name, value in scope["headers"])


_UPGRADE = Response(
    RequestError(
        426, "There are no WebSockets here; send the same request over HTTP with POST.", code="upgrade_required"
    ).body(),
    426,
    {"content-type": "application/json", "upgrade": "HTTP/1.1", "connection": "close"},
)
