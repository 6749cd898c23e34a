"""Pages of the gateway's own: static files out of the package, with headers that let them ask no other host."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from fastapi.responses import HTMLResponse

from breakeven.gateway.api.errors import error_content
from breakeven.gateway.api.route import ApiRoute
from breakeven.gateway.api.security import PageKey
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


def page_router(path: str, folder: Traversable, *, tag: str | None = None, key: PageKey | None = None) -> APIRouter:
    """Serves `index.html` of the folder at `path`, such as /console, and its files below.

    With a `tag` the routes are in the OpenAPI document; with a `key` they demand it where the config names one.
    """
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES}
    name_of_page = path.strip("/")
    router = APIRouter(
        tags=[tag] if tag else None,
        include_in_schema=tag is not None,
        route_class=ApiRoute,
        dependencies=[Depends(key)] if key else None,
    )

    def respond(name: str) -> Response:
        if name not in files:
            raise RequestError(404, "There is nothing at this path.", code="not_found")
        kind = _TYPES[name.rpartition(".")[2]]
        return Response(files[name], media_type=f"{kind}; charset=utf-8", headers=_HEADERS)

    @router.get(path, name=f"{name_of_page}_page", response_class=HTMLResponse, responses={"default": error_content()})
    async def page() -> Response:
        """The page."""
        return respond("index.html")

    contents: dict[str, Any] = {kind: {"schema": {"type": "string"}} for kind in _TYPES.values()}
    described: dict[int | str, dict[str, Any]] = {
        200: {"description": "The file.", "content": contents},
        404: error_content("There is no such file."),
        "default": error_content(),
    }

    @router.get(path + "/{name}", name=f"{name_of_page}_file", response_class=Response, responses=described)
    async def file(name: Annotated[str, Path(description="Name of the file.")]) -> Response:
        """A file of the page."""
        return respond(name)

    return router
