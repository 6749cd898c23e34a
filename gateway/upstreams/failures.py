"""The failure of an attempt for an error that the upstream answered with."""

from __future__ import annotations

import json
import re
from typing import Any

from breakeven.gateway.errors import Cause, StaleConnection, UpstreamFailure
from breakeven.gateway.upstreams.causes import status_cause
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.gateway.wire.error_objects import error_in, error_in_array
from breakeven.gateway.wire.lenient_json import read_object

_RETRYABLE = frozenset({408, 429, 529})
_ERROR_BODY_BYTES = 1 << 20
# Longer texts say more than what is wrong.
_LINE_BYTES = 500
# What `code` or `type` of an error object say of it, where its HTTP status says nothing.
_STATUSES = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "overloaded_error": 529,
    "context_length_exceeded": 400,
    "invalid_encrypted_content": 400,
    "previous_response_not_found": 400,
    "invalid_request_error": 400,
    "not_found_error": 404,
}
# Inside a JSON string its quotes would be escaped.
_ERROR = re.compile(rb'"error"\s*:\s*["{]')
# Where the answers of the endpoints have what they say.
_OF_AN_ANSWER = ("choices", "output", "content", "data")
_CONTEXT_OVERFLOW = re.compile(
    r"maximum context length|max_model_len|context_length_exceeded|context window|too many tokens"
    r"|longer than the maximum|prompt is too long",
    re.IGNORECASE,
)


def unbilled(failure: UpstreamFailure, status: int | None) -> bool:
    """Whether an attempt that failed like this costs nothing: it never arrived, or was refused by an error status.

    `status` is that of the answer, None where none had begun.
    """
    if failure.upstream_status is None:
        # By TLS 1.3 a server refuses a client certificate only once the request is on its way, with an alert. Where TLS
        # breaks in another way, or within an answer, that may have been generated.
        refused = failure.cause is Cause.TLS and "alert" in failure.detail and status is None
    else:
        refused = not 200 <= failure.upstream_status < 300
    return refused or isinstance(failure, StaleConnection) or failure.code == "upstream_unreachable"


async def response_failure(upstream: Upstream, response: UpstreamResponse) -> UpstreamFailure:
    """The failure for an error response, whose body is read: see `error_failure`."""
    try:
        body = await response.read(_ERROR_BODY_BYTES)
    except (OSError, ValueError):
        body = b""
    return error_failure(upstream, response.status, _error_object(body) or _said(response, body), response.headers)


def event_failure(upstream: Upstream, error: object, cause: Cause | None = None) -> UpstreamFailure:
    """The failure that the client gets for an error object within a stream; see `reported_status`."""
    return error_failure(upstream, reported_status(error), error, cause=cause)


def reported_status(error: object) -> int:
    """The HTTP status of an error object that came with success: of its `code` or `status`, else of its words for a
    limit or a long prompt; 502 where it has neither.
    """
    if not isinstance(error, dict):
        return 502
    code = error.get("code", error.get("status"))
    try:
        status = int(code)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        named = (_STATUSES.get(word) for word in (code, error.get("type")) if isinstance(word, str))
        return next((status for status in named if status is not None), 502)
    return status if 400 <= status <= 599 else 502


def invalid_answer(upstream: Upstream, expected: str = "JSON") -> UpstreamFailure:
    """The failure for an answer with success that is not what was expected, such as a proxy's page to log in. It counts
    as a 502, since nothing is charged for it.
    """
    return UpstreamFailure(
        502,
        f"The {upstream.route} answered with something else than {expected}.",
        upstream_status=502,
        retryable=True,
        down=True,
        cause=Cause.INVALID_ANSWER,
        code="upstream_invalid_answer",
    )


def check_answer(upstream: Upstream, body: bytes) -> None:
    """Raise UpstreamFailure for an answer with success that is no JSON object, or in fact an error."""
    value = read_object(body)
    if value is not None:
        _check_no_error(upstream, value)
        return
    error = error_in_array(body)
    if error is None:
        raise invalid_answer(upstream)
    raise event_failure(upstream, error, Cause.ERROR_EVENT)


def check_reported(upstream: Upstream, body: bytes) -> None:
    """Raise UpstreamFailure for an answer that reports its usage and is in fact an error all the same."""
    # Most have no error, and are not decoded for it.
    if _ERROR.search(body) is not None:
        _check_no_error(upstream, read_object(body) or {})


def _check_no_error(upstream: Upstream, value: dict[str, Any]) -> None:
    """Raise UpstreamFailure for an object that has an error and nothing of an answer. Of a response its status says
    whether it failed.
    """
    error = value if value.get("object") == "error" else value.get("error")
    if error and value.get("object") != "response" and not any(value.get(name) for name in _OF_AN_ANSWER):
        raise event_failure(upstream, error, Cause.ERROR_EVENT)


def error_failure(
    upstream: Upstream,
    status: int,
    error: Any,
    headers: dict[str, str] | None = None,
    cause: Cause | None = None,
) -> UpstreamFailure:
    """The failure that the client gets for an upstream's error object, HTTP status and response headers.

    `cause`: where it is not the status that says it. The upstream's key and address are removed from the message. A
    status that is neither success nor error, such as a redirect, becomes 502.
    """
    route = upstream.route
    if status in (401, 403):
        return UpstreamFailure(
            502,
            f"The {route} refused the gateway's credentials; the operator must check the key in its environment.",
            upstream_status=status,
            retryable=False,
            down=False,
            cause=cause or Cause.KEY_REFUSED,
            code="upstream_auth",
        )
    fields = error if isinstance(error, dict) else {"message": error}
    message = fields.get("message")
    if not isinstance(message, str) or not message or status < 400:
        message = f"The {route} answered with status {status}."
    message = upstream.without_secrets(message)
    kind, param, code = fields.get("type"), fields.get("param"), fields.get("code")
    overflow = status == 400 and (code == "context_length_exceeded" or bool(_CONTEXT_OVERFLOW.search(message)))
    if overflow:
        cause = Cause.CONTEXT_OVERFLOW
    elif cause is None:
        # Ollama, vLLM and the APIs name the model; what else is not found is of the request.
        missing = status == 404 and (code == "model_not_found" or upstream.config.model in message)
        cause = Cause.MODEL_NOT_FOUND if missing else status_cause(status, code)
    passed = {k: v for k, v in (headers or {}).items() if k != "content-type"}
    return UpstreamFailure(
        status if status >= 400 else 502,
        message,
        upstream_status=status,
        retryable=status in _RETRYABLE or status >= 500 or status < 400 or overflow,
        down=(status >= 500 and status != 501) or status < 400,
        cause=cause,
        type=kind if isinstance(kind, str) else "upstream_error",
        param=param if isinstance(param, str) else None,
        code="context_length_exceeded" if overflow else None if code is None else str(code),
        headers=passed,
    )


def _said(response: UpstreamResponse, body: bytes) -> str | None:
    """A line of plain text, in which routers and load balancers say what is wrong; None for anything else."""
    if response.content_type.partition(";")[0].strip().lower() != "text/plain" or len(body) > _LINE_BYTES:
        return None
    text = body.decode("utf-8", "replace").strip()
    return text if text.isprintable() else None


def _error_object(body: bytes) -> Any:
    try:
        return error_in(json.loads(body))
    except (ValueError, RecursionError):
        return None
