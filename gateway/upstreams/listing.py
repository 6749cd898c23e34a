"""Asking an upstream which models it serves: the cheapest call that shows whether it can be reached."""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from breakeven.gateway.errors import UpstreamFailure
from breakeven.gateway.upstreams.causes import OF_THE_REQUEST
from breakeven.gateway.upstreams.deadline import Deadline
from breakeven.gateway.upstreams.failures import response_failure
from breakeven.gateway.upstreams.health import Failure
from breakeven.gateway.upstreams.reported import reported
from breakeven.gateway.upstreams.response import UpstreamResponse
from breakeven.gateway.upstreams.upstream import Upstream, translated_errors

_LISTING_BYTES = 1 << 22


class Listing(NamedTuple):
    """The answer to GET /models: its HTTP status, None without one, and its models by name, None where it lists none.

    `failure` says why it failed; an answer with an error status has both that and a status.
    """

    status: int | None
    models: dict[str, dict[str, Any]] | None
    failure: Failure | None

    @property
    def reached(self) -> bool:
        """Whether a server answered and did not fail; some have no list of their models, and answer 404."""
        return self.failure is None or self.failure.cause in OF_THE_REQUEST

    def window(self, model: str) -> int | None:
        """The model's context window in tokens; None where the list does not say. vLLM does."""
        return reported((self.models or {}).get(model, {})).context_window


async def list_models(upstream: Upstream, seconds: float) -> Listing:
    """Ask for the models, waiting at most `seconds`. Never raises for an upstream that fails."""
    deadline = Deadline(seconds)
    response: UpstreamResponse | None = None
    try:
        response = await upstream.get("/models", deadline)
        with translated_errors(upstream.route, deadline):
            if not 200 <= response.status < 300:
                raise await response_failure(upstream, response)
            return Listing(response.status, _by_name(await response.read(_LISTING_BYTES)), None)
    except UpstreamFailure as failure:
        status = None if response is None else response.status
        at = time.time_ns() // 1000
        return Listing(status, None, Failure(failure.cause, at, status, detail=failure.detail))
    finally:
        deadline.close()
        if response is not None:
            response.close()


def _by_name(body: bytes) -> dict[str, dict[str, Any]] | None:
    try:
        models = json.loads(body)["data"]
        return {str(model["id"]): model for model in models}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
