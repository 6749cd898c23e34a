"""Errors of the gateway's own routes, in OpenAI's shape: their model, their documentation, the app's handlers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException

from breakeven.gateway.api.schema import Schema
from breakeven.gateway.errors import BreakevenError, RequestError
from breakeven.gateway.translation.errors import error_body


class ErrorDetail(Schema):
    """What went wrong, in the four fields of an OpenAI error."""

    message: str = Field(description="What is wrong and what to do about it, for people. Never a value that was sent.")
    type: str = Field(description="Kind of error, such as invalid_request_error, authentication_error or server_error.")
    param: str | None = Field(description="The parameter or body field that is wrong; null: none in particular.")
    code: str | None = Field(description="The error for programs, such as model_not_found.")


class ErrorResponse(Schema):
    """The body of every error."""

    error: ErrorDetail


_MEANINGS = {
    400: "A parameter or the body is wrong; `param` names the field.",
    401: "No key, or a wrong one.",
    403: "The key may not ask for this.",
    404: "There is nothing by this name; under /admin also where no admin key is configured.",
    408: "The body did not arrive within `server.read_seconds`.",
    409: "The update was made for another router artifact than the running one.",
    413: "The body is too large.",
    500: "The gateway failed, or could not store the change; nothing was changed.",
    503: "The ledger cannot be used at the moment; try again.",
}
_OTHERWISE = "Any other error, in the same shape."


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers JSON: ErrorResponse for these statuses, and for all others."""
    meanings: dict[int | str, str] = {**{status: _MEANINGS[status] for status in statuses}, "default": _OTHERWISE}
    return {status: {"model": ErrorResponse, "description": meaning} for status, meaning in meanings.items()}


def error_content(description: str = _OTHERWISE) -> dict[str, Any]:
    """An error response of a route that FastAPI does not describe, or whose answers are not JSON."""
    schema = {"$ref": f"#/components/schemas/{ErrorResponse.__name__}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def anthropic_error() -> dict[str, Any]:
    """An error response of the endpoints of Anthropic's API."""
    texts = {name: {"type": "string"} for name in ("type", "message")}
    error = {"type": "object", "properties": texts, "required": list(texts)}
    kind = {"type": "string", "const": "error"}
    schema = {"type": "object", "properties": {"type": kind, "error": error}, "required": ["type", "error"]}
    description = "An error in the shape of Anthropic's API."
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def invalid(error: RequestValidationError, body_code: str) -> RequestError:
    """The 400 for the first fault: it names the field and never the value. `body_code`: the code of a wrong body."""
    fault = error.errors()[0]
    place, *path = fault["loc"]
    name = ".".join(str(part) for part in path) or None
    code = body_code if place == "body" else "invalid_parameter"
    if fault["type"] == "json_invalid":
        return RequestError(400, f"Invalid JSON: {fault['ctx']['error']}", code=code)
    if name is None:
        return RequestError(400, "The body must be a JSON object.", code=code)
    return RequestError(400, f"{name}: {fault['msg']}", param=name, code=code)


def ledger_unavailable(verb: str = "read") -> RequestError:
    """The 503 where the ledger cannot be `read`, or written."""
    return RequestError(
        503,
        f"The ledger cannot be {verb} now; try again.",
        type="server_error",
        code="ledger_unavailable",
        headers={"retry-after": "5"},
    )


def nothing_to_change(error: BreakevenError) -> RequestError:
    """The 409 for an operator's word that there is nothing to do for."""
    return RequestError(409, f"{str(error)[:1].upper()}{str(error)[1:]}.", code="nothing_to_change")


def error_response(path: str, error: RequestError) -> Response:
    """An error as the whole response to a request for this path: below /v1/messages in the shape of Anthropic's API."""
    of_anthropic = path == _MESSAGES or path.startswith(f"{_MESSAGES}/")
    body = error_body(error.status, error.message) if of_anthropic else error.body()
    return Response(body, error.status, {"content-type": "application/json", **error.headers})


async def _request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return error_response(request.scope["path"], error)


async def _failed(request: Request, _: Exception) -> Response:
    error = RequestError(500, "The gateway failed.", type="server_error", code="gateway_error")
    return await _request_error(request, error)


_MESSAGES = "/v1/messages"
_NOT_PASSED = (
    "There is nothing at this path. Requests that name a model of `models` in the gateway's config are passed on at "
    "the `paths` that it lists. Files, batches, conversations and whatever else a provider keeps are not: ask it "
    "directly."
)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    texts = {
        404: (_NOT_PASSED if path.startswith("/v1/") else "There is nothing at this path.", "not_found"),
        405: ("This method is not allowed here.", "method_not_allowed"),
    }
    message, code = texts.get(error.status_code, ("The request cannot be served.", None))
    return error_response(path, RequestError(error.status_code, message, code=code, headers=error.headers))


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    HTTPException: _http_error,
    RequestError: _request_error,
    Exception: _failed,
}
