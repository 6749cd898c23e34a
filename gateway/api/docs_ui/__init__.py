"""The API documentation at /docs: Swagger UI out of the package, showing this gateway's own /openapi.json."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter

from breakeven.gateway.api.static_files import page_router


def docs_router() -> APIRouter:
    """/docs and its files. They hold no secret, so they need no key."""
    return page_router("/docs", resources.files("breakeven.gateway.api.docs_ui") / "static")
