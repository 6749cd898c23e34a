"""/console/session: signing in with the admin key once, for a cookie that no script can read, and signing out."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from breakeven.gateway.api.errors import documented
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.schema import Schema
from breakeven.gateway.api.security import console_key, is_admin_key, require_admin_key, session_end
from breakeven.gateway.errors import RequestError
from breakeven.gateway.limits import console_session


class SignIn(Schema):
    """Who wants to use the console."""

    key: Annotated[str, Field(max_length=4096, description="The admin key.")]


class Session(Schema):
    """Whether a browser is signed in."""

    signed_in: bool = Field(description="Whether its cookie is valid now.")
    expires_at: int | None = Field(description="When that ends, seconds since the Unix epoch; null: not signed in.")


class _SessionRoute(ApiRoute):
    body_code = "invalid_session"


router = APIRouter(
    prefix="/console/session", tags=["console"], route_class=_SessionRoute, dependencies=[Depends(console_key)]
)


@router.get("", responses=documented())
async def get_session(request: Request, now: Now) -> Session:
    """Say whether the browser is signed in."""
    end = session_end(now, request)
    return Session(signed_in=end is not None, expires_at=end)


@router.post("", responses=documented(400, 401, 404, 408, 413))
async def sign_in(given: SignIn, request: Request, response: Response, now: Now) -> Session:
    """Sign in: sets a cookie for twelve hours, which /admin accepts in the place of the admin key."""
    if not is_admin_key(now, given.key):
        raise RequestError(
            401,
            "That is not the admin key.",
            type="authentication_error",
            code="invalid_api_key",
        )
    at = time.time()
    key = require_admin_key(now)
    token = console_session.issue(key, at)
    _set_cookie(request, response, token, console_session.SESSION_SECONDS)
    return Session(signed_in=True, expires_at=console_session.expires(key, token, at))


@router.delete("", responses=documented(403))
async def sign_out(request: Request, response: Response) -> Session:
    """Sign out: removes the cookie."""
    console_session.check_change(request.method, request.headers)
    _set_cookie(request, response, "", 0)
    return Session(signed_in=False, expires_at=None)


def _set_cookie(request: Request, response: Response, value: str, seconds: int) -> None:
    # A proxy that ends TLS says so; who claims it without one only locks out its own browser.
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    name = console_session.cookie_name(request.url.port)
    response.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="strict")
    response.headers["cache-control"] = "no-store"
