"""The keys: how a request proves that it may use a route, and how the OpenAPI document says so."""

# FastAPI cannot resolve annotations that are strings on the `__call__` of an instance, so that there is no
# `from __future__ import annotations` here.

import base64
import contextlib
import hashlib
import hmac
import os
import time
from collections.abc import Callable

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from breakeven.gateway.api.errors import error_response
from breakeven.gateway.config.access import Admin, ClientKey
from breakeven.gateway.errors import RequestError
from breakeven.gateway.limits import console_session, keys
from breakeven.gateway.limits.local_access import check_local_access
from breakeven.gateway.runtime.services import Services

# They say that the process runs, and nothing else.
_ALIVE = frozenset({"/healthz", "/health", "/ping"})
# Beside a requirement in `security`: the route also answers without a key, where the config lists none.
OPTIONAL: dict[str, list[dict[str, list[str]]]] = {"security": [{}]}


class BearerKey(SecurityBase):
    """A dependency that checks the key of a request, and the security scheme that documents it.

    ApiRoute calls it before the body is read; FastAPI calls it again for a handler that wants to know whose key it is.
    """

    def __init__(self, name: str, description: str, check: Callable[[Services, Request], ClientKey | None]) -> None:
        """`check` takes the services and the request. It raises RequestError 401 or 403, or 404 where the route is
        turned off.
        """
        self.scheme_name = name
        self.model = HTTPBearer(description=description)
        self._check = check

    async def __call__(self, request: Request) -> ClientKey | None:
        """The client's key, None where there are none. Raises RequestError."""
        return self._check(request.state.services, request)


def _check_client(services: Services, request: Request) -> ClientKey | None:
    return keys.client_key(services.keys, request.headers)


def _same(given: str, key: str) -> bool:
    # Digests have one length, so that the time taken tells nothing of the key's.
    return hmac.compare_digest(
        *(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, key))
    )


def require_admin_key(services: Services) -> str:
    """The admin key. Raises RequestError 404 where the environment has none."""
    key = os.environ.get(services.config.admin.key_env)
    if not key:
        raise RequestError(404, "There is nothing at this path.", code="not_found")
    return key


def is_admin_key(services: Services, given: str) -> bool:
    """Whether this is the admin key. Raises RequestError 404 where there is none."""
    return _same(given.strip(), require_admin_key(services))


def session_end(services: Services, request: Request) -> int | None:
    """When the console's session of a request ends, seconds since the Unix epoch; None where it has none."""
    token = request.cookies.get(console_session.cookie_name(request.url.port))
    key = os.environ.get(services.config.admin.key_env)
    return console_session.expires(key, token, time.time()) if key and token else None


def by_console(request: Request) -> bool:
    """Whether a request that is allowed is the console's: its cookie counts only where no bearer key is sent."""
    return request.headers.get("authorization", "").partition(" ")[0].lower() != "bearer"


def who(request: Request) -> str:
    """Who makes an admin request, for the history of changes: the console or another program."""
    return "console" if by_console(request) else "api"


def _check_admin(services: Services, request: Request) -> None:
    key = require_admin_key(services)
    if by_console(request):
        if session_end(services, request) is not None:
            console_session.check_change(request.method, request.headers)
            return
    elif _same(request.headers["authorization"].partition(" ")[2].strip(), key):
        return
    raise RequestError(
        401,
        "Send the admin key as 'Authorization: Bearer <key>'.",
        type="authentication_error",
        code="invalid_api_key",
        headers={"www-authenticate": "Bearer"},
    )


class PageKey:
    """A dependency that checks the key of a page which demands one where the config names its environment variable.

    It is no part of the OpenAPI document: most gateways have none, and it is another credential than the API's.
    """

    def __init__(self, variable: Callable[[Admin], str | None]) -> None:
        """`variable` gives the name of the environment variable, None where the page needs no key."""
        self._variable = variable

    async def __call__(self, request: Request) -> None:
        """Raise RequestError 401 for a missing or wrong key."""
        services: Services = request.state.services
        variable = self._variable(services.config.admin)
        if variable is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            # A browser asks for it by itself; the name of the user does not matter.
            encoded, given = given, ""
            with contextlib.suppress(ValueError):
                given = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
        key = os.environ.get(variable)
        if not key or not _same(given.strip(), key) or scheme.lower() not in ("basic", "bearer"):
            raise RequestError(
                401,
                "Send this page's key as 'Authorization: Bearer <key>', or as the password of basic authentication.",
                type="authentication_error",
                code="invalid_api_key",
                headers={"www-authenticate": 'Basic realm="breakeven", charset="UTF-8"'},
            )


class LocalAccess:
    """Middleware that lets no website use a gateway without keys; see `check_local_access`. What load balancers ask
    under names of their own is left alone.
    """

    def __init__(self, app: ASGIApp, services: Callable[[], Services]) -> None:
        """`services` returns those in force now."""
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in _ALIVE:
            services = self._services()
            try:
                if not services.keys:
                    check_local_access(Headers(scope=scope), scope["method"], services.config.server)
            except RequestError as error:
                await error_response(scope["path"], error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


client_key = BearerKey(
    "client_key", "One of the keys under `auth.keys` in the config; none is needed where that is empty.", _check_client
)
admin_key = BearerKey(
    "admin_key",
    "The value of the environment variable that `admin.key_env` names; without it there is nothing under /admin.",
    _check_admin,
)
metrics_key = PageKey(lambda admin: admin.metrics_key_env)
console_key = PageKey(lambda admin: admin.console_key_env)
