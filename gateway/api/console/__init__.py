"""The console: static files at /console; what they show comes from /admin with the operator's key."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter

from breakeven.gateway.api.security import console_key
from breakeven.gateway.api.static_files import page_router


def console_router() -> APIRouter:
    """/console and its files. They hold no secret, so they need no key but where `admin.console_key_env` says so."""
    folder = resources.files("breakeven.gateway.api.console") / "static"
    return page_router("/console", folder, tag="console", key=console_key)
