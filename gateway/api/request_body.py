"""Reading the bodies of our own endpoints, those that no upstream sees: bounded, and strict."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from breakeven.gateway.errors import RequestError
from breakeven.gateway.upstreams.deadline import arriving

_Model = TypeVar("_Model", bound=BaseModel)


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises RequestError 413 above `limit` bytes, and 408 where it does not arrive."""
    data = bytearray()
    seconds: float = request.app.state.current().config.server.read_seconds
    async with arriving(seconds):
        async for part in request.stream():
            data += part
            if len(data) > limit:
                raise RequestError(413, f"The body is larger than {limit} bytes.", code="request_too_large")
    return bytes(data)


async def read_model(request: Request, model: type[_Model], limit: int, *, code: str) -> _Model:
    """The body as a model. Raises RequestError: 413, and 400 with `code` that names the field and never its value."""
    try:
        return model.model_validate_json(await read_body(request, limit))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(str(part) for part in fault["loc"])
        message = f"{path + ': ' if path else ''}{fault['msg']}"
        raise RequestError(400, message, param=path or None, code=code) from None
