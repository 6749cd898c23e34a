"""POST /v1/feedback: what a user thinks of an answer, by its request id."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Security
from pydantic import Field

from breakeven.gateway.api.errors import documented, ledger_unavailable
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.schema import Schema
from breakeven.gateway.api.security import OPTIONAL, client_key
from breakeven.gateway.config.access import ClientKey
from breakeven.gateway.errors import LedgerError, RequestError
from breakeven.gateway.ledger.outcomes import Answered
from breakeven.router.policy import Route

_FLUSH_SECONDS = 2.0
_Score = Annotated[
    float, Field(ge=0.0, le=1.0, allow_inf_nan=False, description="From 0 (useless) to 1 (nothing to improve).")
]


class Feedback(Schema):
    """A user's score of one answer."""

    request_id: str = Field(min_length=1, max_length=128, description="The `x-request-id` of the answer.")
    score: _Score


class FeedbackStored(Schema):
    """The score as it was stored, and which upstream wrote the answer."""

    object: Literal["feedback"]
    request_id: str = Field(description="As it was sent.")
    route: Route
    score: _Score


class _FeedbackRoute(ApiRoute):
    max_body_bytes = 1 << 16
    body_code = "invalid_feedback"


router = APIRouter(tags=["feedback"], route_class=_FeedbackRoute)


@router.post("/v1/feedback", responses=documented(400, 401, 404, 408, 413, 503), openapi_extra=OPTIONAL)
async def send_feedback(
    feedback: Feedback, now: Now, key: Annotated[ClientKey | None, Security(client_key)]
) -> FeedbackStored:
    """Score an answer. A later score for the same answer replaces the one before."""
    name = key.name if key is not None else ""

    def store() -> Answered | None:
        # The answer may have been settled a moment ago.
        now.ledger.flush(_FLUSH_SECONDS)
        return now.ledger.feedback(feedback.request_id, name, feedback.score)

    try:
        answer = await now.ledger.ask(store)
    except LedgerError:
        raise ledger_unavailable("written") from None
    if answer is None:
        raise RequestError(
            404,
            "No answer with this request_id was given to this key; send the x-request-id of the answer.",
            param="request_id",
            code="request_not_found",
        )
    now.metrics.feedback.labels(answer.route).inc()
    return FeedbackStored(
        object="feedback", request_id=feedback.request_id, route=Route(answer.route), score=feedback.score
    )
