"""Errors of the gateway's own routes, in OpenAI's shape: the exception handlers of the app."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from breakeven.gateway.errors import RequestError


async def _request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return Response(error.body(), error.status, {"content-type": "application/json", **error.headers})


async def _failed(request: Request, _: Exception) -> Response:
    error = RequestError(500, "The gateway failed.", type="server_error", code="gateway_error")
    return await _request_error(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    name = str(fault["loc"][-1])
    return await _request_error(
        request, RequestError(400, f"{name}: {fault['msg']}", param=name, code="invalid_parameter")
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    texts = {
        404: ("There is nothing at this path.", "not_found"),
        405: ("This method is not allowed here.", "method_not_allowed"),
    }
    message, code = texts.get(error.status_code, ("The request cannot be served.", None))
    shaped = RequestError(error.status_code, message, code=code, headers=error.headers)
    return await _request_error(request, shaped)


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    HTTPException: _http_error,
    RequestError: _request_error,
    RequestValidationError: _invalid,
    Exception: _failed,
}
