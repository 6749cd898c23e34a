"""Errors in the shape of Anthropic's APIs: `{"type": "error", "error": {"type", "message"}}`."""

from __future__ import annotations

from typing import Any

import msgspec

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {kind: status for status, kind in _TYPES.items()} | {"invalid_request_error": 400, "api_error": 500}


def error_body(status: int, message: str) -> bytes:
    """The JSON of an error, whose type follows from the HTTP status."""
    kind = _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})


def with_status(error: Any) -> Any:
    """The error of a stream's event, with the HTTP status that it would have had as `status`."""
    if not isinstance(error, dict):
        return error
    kind = error.get("type")
    return {**error, "status": _STATUSES.get(kind, 502) if isinstance(kind, str) else 502}
