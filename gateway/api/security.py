"""The keys: how a request proves that it may use a route, and how the OpenAPI document says so."""

# FastAPI cannot resolve annotations that are strings on the `__call__` of an instance, so that there is no
# `from __future__ import annotations` here.

import base64
import contextlib
import hashlib
import hmac
import os
from collections.abc import Callable, Mapping

from fastapi import Request, Response
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from breakeven.gateway.config.access import Admin, ClientKey
from breakeven.gateway.errors import RequestError
from breakeven.gateway.limits import keys
from breakeven.gateway.limits.local_access import check_local_access
from breakeven.gateway.runtime.services import Services

# Beside a requirement in `security`: the route also answers without a key, where the config lists none.
OPTIONAL: dict[str, list[dict[str, list[str]]]] = {"security": [{}]}


class BearerKey(SecurityBase):
    """A dependency that checks the key of a request, and the security scheme that documents it.

    ApiRoute calls it before the body is read; FastAPI calls it again for a handler that wants to know whose key it is.
    """

    def __init__(
        self, name: str, description: str, check: Callable[[Services, Mapping[str, str]], ClientKey | None]
    ) -> None:
        """`check` takes the services and the request's headers. It raises RequestError 401, or 404 where the route
        is turned off.
        """
        self.scheme_name = name
        self.model = HTTPBearer(description=description)
        self._check = check

    async def __call__(self, request: Request) -> ClientKey | None:
        """The client's key, None where there are none. Raises RequestError."""
        return self._check(request.state.services, request.headers)


def _check_client(services: Services, headers: Mapping[str, str]) -> ClientKey | None:
    return keys.client_key(services.keys, headers)


def _same(given: str, key: str) -> bool:
    # Digests have one length, so that the time taken tells nothing of the key's.
    return hmac.compare_digest(
        *(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, key))
    )


def _check_admin(services: Services, headers: Mapping[str, str]) -> None:
    key = os.environ.get(services.config.admin.key_env)
    if not key:
        raise RequestError(404, "There is nothing at this path.", code="not_found")
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if not _same(given.strip(), key) or scheme.lower() != "bearer":
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
    """Middleware that lets no website use a gateway without keys; see `check_local_access`. /healthz is left alone."""

    def __init__(self, app: ASGIApp, services: Callable[[], Services]) -> None:
        """`services` returns those in force now."""
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/healthz":
            services = self._services()
            try:
                if not services.keys:
                    check_local_access(Headers(scope=scope), scope["method"], services.config.server)
            except RequestError as error:
                answer = Response(error.body(), error.status, {"content-type": "application/json"})
                await answer(scope, receive, send)
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
