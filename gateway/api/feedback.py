"""POST /v1/feedback: what a user thinks of an answer, by its request id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from breakeven.gateway.api.request_body import read_model
from breakeven.gateway.errors import LedgerError, RequestError
from breakeven.gateway.limits.keys import client_key
from breakeven.gateway.runtime.services import Services

_MAX_BODY = 1 << 16
_FLUSH_SECONDS = 2.0


class Feedback(BaseModel):
    """`request_id` is the answer's `x-request-id`; `score` from 0 (useless) to 1 (nothing to improve)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_id: Annotated[str, Field(min_length=1, max_length=128)]
    score: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, strict=True)]


def feedback_router(services: Callable[[], Services]) -> APIRouter:
    """The route, as of the services in force."""
    router = APIRouter()

    schema = {"required": True, "content": {"application/json": {"schema": Feedback.model_json_schema()}}}

    @router.post("/v1/feedback", openapi_extra={"requestBody": schema})
    async def feedback(request: Request) -> JSONResponse:
        now = services()
        key = client_key(now.keys, request.headers.get("authorization"))
        given = await read_model(request, Feedback, _MAX_BODY, code="invalid_feedback")
        name = key.name if key is not None else ""

        def put() -> Any:
            # The answer may have been settled a moment ago.
            now.ledger.flush(_FLUSH_SECONDS)
            return now.ledger.feedback(given.request_id, name, given.score)

        try:
            about = await asyncio.to_thread(put)
        except LedgerError:
            raise RequestError(
                503, "The ledger cannot be written now; try again.", type="server_error", code="ledger_unavailable"
            ) from None
        if about is None:
            raise RequestError(
                404,
                "No answer with this request_id was given to this key; send the x-request-id of the answer.",
                param="request_id",
                code="request_not_found",
            )
        now.metrics.feedback.labels(about.route).inc()
        return JSONResponse(
            {"object": "feedback", "request_id": given.request_id, "route": about.route, "score": given.score}
        )

    return router
