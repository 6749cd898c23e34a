"""The console: static files at /console; what they show comes from /admin, for who signed in with the admin key."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter

from breakeven.gateway.api.console.session import router as session_router
from breakeven.gateway.api.security import console_key
from breakeven.gateway.api.static_files import page_router


def console_router() -> APIRouter:
    """/console with its files, and its session. They hold no secret, so they need no key but where
    `admin.console_key_env` says so.
    """
    router = APIRouter()
    # Before the files, one of which could have its name.
    router.include_router(session_router)
    folder = resources.files("breakeven.gateway.api.console") / "static"
    router.include_router(page_router("/console", folder, tag="console", key=console_key))
    return router
