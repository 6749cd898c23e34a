"""The console: static files at /console; what they show comes from /admin with the operator's key."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter, Response

from breakeven.gateway.errors import RequestError

_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "txt": "text/plain"}
_HEADERS = {
    # Nothing from elsewhere, nothing inline, and in nobody's frame.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


def console_router() -> APIRouter:
    """/console and its files. They hold no secret, so that they need no key."""
    files = {
        file.name: file.read_bytes()
        for file in (resources.files("breakeven.gateway.api.console") / "static").iterdir()
        if file.name.rpartition(".")[2] in _TYPES
    }
    router = APIRouter()

    @router.get("/console")
    async def page() -> Response:
        return _file("index.html")

    @router.get("/console/{name}")
    async def part(name: str) -> Response:
        return _file(name)

    def _file(name: str) -> Response:
        if name not in files:
            raise RequestError(404, "There is nothing at this path.", code="not_found")
        kind = _TYPES[name.rpartition(".")[2]]
        return Response(files[name], media_type=f"{kind}; charset=utf-8", headers=_HEADERS)

    return router
