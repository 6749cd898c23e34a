"""The two keys: how a request proves that it may use a route, and how the OpenAPI document says so."""

# FastAPI cannot resolve annotations that are strings on the `__call__` of an instance, so that there is no
# `from __future__ import annotations` here.

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.errors import RequestError
from breakeven.gateway.limits import keys
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


def _check_admin(services: Services, headers: Mapping[str, str]) -> None:
    key = os.environ.get(services.config.admin.key_env)
    if not key:
        raise RequestError(404, "There is nothing at this path.", code="not_found")
    scheme, _, given = headers.get("authorization", "").partition(" ")
    # Digests have one length, so that the time taken tells nothing of the key's.
    digests = (hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given.strip(), key))
    if not hmac.compare_digest(*digests) or scheme.lower() != "bearer":
        raise RequestError(
            401,
            "Send the admin key as 'Authorization: Bearer <key>'.",
            type="authentication_error",
            code="invalid_api_key",
            headers={"www-authenticate": "Bearer"},
        )


client_key = BearerKey(
    "client_key", "One of the keys under `auth.keys` in the config; none is needed where that is empty.", _check_client
)
admin_key = BearerKey(
    "admin_key",
    "The value of the environment variable that `admin.key_env` names; without it there is nothing under /admin.",
    _check_admin,
)
