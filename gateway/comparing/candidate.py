"""What is said where the answer of a candidate cannot be compared."""

from __future__ import annotations

import logging

from breakeven.gateway.accounting.record import ComparisonResult
from breakeven.gateway.errors import RequestError, UpstreamFailure

_log = logging.getLogger("breakeven.comparing")


def said_of(error: Exception) -> ComparisonResult:
    """Log why the candidate's answer was not compared; what it counts as."""
    if isinstance(error, RequestError):
        cause = error.cause if isinstance(error, UpstreamFailure) else None
        _log.info("the candidate was not compared: %s", cause or error.code or type(error).__name__)
    else:
        # The operator's own scorer may raise anything.
        _log.error("the candidate was not compared, internal error: %s", type(error).__name__, exc_info=error)
    return ComparisonResult.FAILED
