"""A scripted reasoning model that refuses fields in OpenAI's words."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from tests.unit.models.support.teacher import Script


def refused(body: dict[str, Any]) -> Response | None:
    """The error of a model that takes neither `max_tokens` nor a temperature, one at a time; None if it is fine."""
    if "max_tokens" in body:
        words = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        return _error(f"Unsupported parameter: {words}", "max_tokens", "unsupported_parameter")
    if body.get("temperature", 1) != 1:
        words = f"'temperature' does not support {body['temperature']} with this model. Only the default (1) value"
        return _error(f"Unsupported value: {words} is supported.", "temperature", "unsupported_value")
    return None


def refusing(script: Script) -> Script:
    """A script that refuses first, and answers what is left."""
    return lambda body: refused(body) or script(body)


def _error(message: str, param: str, code: str) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return JSONResponse({"error": error}, 400)
