"""/admin: a decision without a call, and the report. For holders of the admin key."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Security

from breakeven.gateway.accounting.record import Endpoint
from breakeven.gateway.api.admin_schemas import (
    EarlierTurns,
    ExplainedDecision,
    FeatureContribution,
)
from breakeven.gateway.api.decisions import difficulty
from breakeven.gateway.api.errors import documented
from breakeven.gateway.api.openapi import relayed_body
from breakeven.gateway.api.reading import Since, Until, from_ledger
from breakeven.gateway.api.report_schemas import Report
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.security import admin_key
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.endpoints.chat import ChatCompletions, Completions
from breakeven.gateway.endpoints.responses import Responses
from breakeven.gateway.errors import LedgerAway
from breakeven.gateway.ledger import statements
from breakeven.gateway.proxy.admission import workload
from breakeven.gateway.proxy.decision import decision_for
from breakeven.gateway.proxy.session import Turn, session_id
from breakeven.gateway.reports import explained, report
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.moments import moment


class _AdminRoute(ApiRoute):
    max_body_bytes = 1 << 20
    body_code = "invalid_policy"


router = APIRouter(prefix="/admin", tags=["admin"], route_class=_AdminRoute, dependencies=[Security(admin_key)])


@router.post(
    "/route",
    responses=documented(400, 401, 404, 408, 413),
    openapi_extra=relayed_body(Endpoint.CHAT_COMPLETIONS, Endpoint.COMPLETIONS, Endpoint.RESPONSES),
)
async def explain_route(
    request: Request,
    now: Now,
    key: Annotated[
        str | None, Query(description="Name of the client's key whose conversation it is; absent: of no key.")
    ] = None,
) -> ExplainedDecision:
    """Say where a request would be routed, and why, without calling an upstream. The headers with which clients name
    a conversation count here as well.
    """
    # As the relay reads it: FastAPI would decode the whole body and accept keys that come twice.
    body = Body(await request.body())
    adapter: Adapter = ChatCompletions() if "messages" in body else Responses() if "input" in body else Completions()
    adapter.check(body)
    turn = Turn(now, adapter, body, key, session_id(request.headers, body))
    held = turn.held if now.config.routing.sticky else None
    name = workload(now, None, request.headers)
    unit = now.unit(name)
    decision = decision_for(now, adapter, body, unit, available=None, held=held)
    conversation = adapter.conversation(body)
    score = unit.artifact.assess(conversation.text).score
    said = partial(explained.explain, artifact=unit.artifact, workload=name, text=conversation.text, score=score)
    try:
        in_words = await now.ledger.ask(lambda: said(now.ledger))
    except LedgerAway:
        in_words = await asyncio.to_thread(said, None)
    hold = decision.hold
    until = moment(hold.until) if hold is not None and hold.until is not None else None
    return ExplainedDecision(
        **decision._asdict() | {"hold": EarlierTurns(why=hold.why, until=until) if hold is not None else None},
        tokens=conversation.tokens,
        router=unit.artifact.hash,
        difficulty=difficulty(in_words.standing),
        why=in_words.phrases,
        alike=in_words.alike,
        alike_failed=in_words.failed,
        explanation=str(in_words),
        contributions=[
            FeatureContribution(feature=feature, log_odds=log_odds)
            for feature, log_odds in unit.artifact.difficulty.explain(conversation.text)
        ],
    )


@router.get("/report", responses=documented(400, 401, 404, 503))
async def get_report(now: Now, since: Since = None, until: Until = None) -> Report:
    """Report cost, baseline, savings and payback of a period."""

    def read() -> dict[str, Any]:
        return report.books_to_dict(statements.read(now.ledger, time.time_ns() // 1000, since, until))

    return Report.model_validate(await from_ledger(now, read))
