"""/admin: the policy, a decision without a call, the report, decisions and what-if. For holders of the admin key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Security
from pydantic import Field

from breakeven.gateway.accounting.money import PICODOLLARS
from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD, Endpoint
from breakeven.gateway.api.admin_schemas import (
    EarlierTurns,
    ExplainedDecision,
    FeatureContribution,
    PolicyInForce,
    RecordedDecisions,
    WhatIf,
)
from breakeven.gateway.api.decisions import difficulty, recorded
from breakeven.gateway.api.errors import documented, ledger_unavailable
from breakeven.gateway.api.openapi import relayed_body
from breakeven.gateway.api.report_schemas import Report
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.security import admin_key
from breakeven.gateway.economics.periods import HOURS_A_MONTH
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.endpoints.chat import ChatCompletions, Completions
from breakeven.gateway.endpoints.responses import Responses
from breakeven.gateway.errors import LedgerAway, LedgerError, RequestError
from breakeven.gateway.ledger import statements
from breakeven.gateway.policy.active import ActivePolicy, PolicyUpdate
from breakeven.gateway.proxy.admission import workload
from breakeven.gateway.proxy.decision import decision_for
from breakeven.gateway.proxy.session import Turn, session_id
from breakeven.gateway.reports import explained, labels, report, whatif
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.moments import moment
from breakeven.router.model.artifact import Artifact

_FLUSH_SECONDS = 2.0
# The last microsecond of the year 9999, beyond which no date can be written.
_LAST_MICROSECOND = 253_402_300_799_999_999
_Read = TypeVar("_Read")

_Microseconds = Annotated[int, Field(ge=0, le=_LAST_MICROSECOND)]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]
Since = Annotated[
    _Microseconds | None,
    Query(description="Begin of the period, microseconds since the Unix epoch; absent: the beginning of the ledger."),
]
Until = Annotated[
    _Microseconds | None, Query(description="End of the period, microseconds since the Unix epoch; absent: now.")
]


class _AdminRoute(ApiRoute):
    max_body_bytes = 1 << 20
    body_code = "invalid_policy"


router = APIRouter(prefix="/admin", tags=["admin"], route_class=_AdminRoute, dependencies=[Security(admin_key)])


@router.get("/policy", responses=documented(401, 404))
async def get_policy(now: Now) -> PolicyInForce:
    """Read the policy in force. Where stages decide it is that of requests without a workload; a threshold of 0 sends
    all of them to the teacher.
    """
    return _in_force(now)


@router.put("/policy", responses=documented(400, 401, 404, 408, 409, 413, 500))
async def put_policy(update: PolicyUpdate, now: Now) -> PolicyInForce:
    """Route all workloads by this policy, whatever their stages are; fields that are not sent stay as they are. It
    survives a restart.
    """
    if update.threshold is None and _in_force(now).decided_by == "stages":
        raise RequestError(
            400,
            "Stages decide now, each with a threshold of its own; give a threshold to route by it instead.",
            param="threshold",
            code="invalid_policy",
        )
    if update.artifact not in (None, now.artifact.hash):
        raise RequestError(
            409,
            f"This policy is for router {update.artifact}, but {now.artifact.hash} is running; tune again.",
            param="artifact",
            code="another_artifact",
        )
    await _stored(now, lambda: now.policies.put(update))
    return _in_force(now)


@router.delete("/policy", responses=documented(401, 404, 500))
async def delete_policy(now: Now) -> PolicyInForce:
    """Go back to the policy of the config, or to the stages where it has neither threshold nor artifact."""
    await _stored(now, now.policies.clear)
    return _in_force(now)


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

    return Report.model_validate(await _from_ledger(now, read))


@router.get("/decisions", responses=documented(400, 401, 404, 503))
async def list_decisions(
    now: Now,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
    before: Annotated[
        _Microseconds | None, Query(description="Only those that began before, microseconds since the Unix epoch.")
    ] = None,
) -> RecordedDecisions:
    """List the last settled requests, the newest first."""
    return RecordedDecisions(decisions=await _from_ledger(now, lambda: recorded(now, limit, before)))


@router.get("/whatif", responses=documented(400, 401, 404, 503))
async def get_whatif(
    now: Now,
    threshold: Annotated[
        _Share | None, Query(description="The threshold to look at; absent: 21 of them from 0 to 1.")
    ] = None,
    novelty_threshold: Annotated[
        _Share | None, Query(description="The novelty threshold to assume; absent: the one in force.")
    ] = None,
    workload: Annotated[str | None, Query(description="Only requests of this workload; absent: of all.")] = None,
    since: Since = None,
    until: Until = None,
) -> WhatIf:
    """Say what other thresholds would have meant for recorded traffic."""
    unit = now.unit(DEFAULT_WORKLOAD if workload is None else workload)
    novelty = unit.policy.novelty_threshold if novelty_threshold is None else novelty_threshold
    thresholds = whatif.POINTS if threshold is None else (threshold,)

    def read() -> dict[str, Any]:
        return _what_if(now, unit.artifact, thresholds, novelty, workload, since, until)

    return WhatIf.model_validate(await _from_ledger(now, read))


def _in_force(now: Services) -> PolicyInForce:
    active = now.policies.active
    if active.source == "admin" or now.config.operator_routes:
        return PolicyInForce(**active.model_dump(), decided_by=active.source)
    unit = now.unit(DEFAULT_WORKLOAD)
    return PolicyInForce(
        threshold=min(1.0, unit.policy.threshold),
        novelty_threshold=unit.policy.novelty_threshold,
        escalation=unit.escalation,
        artifact=unit.artifact.hash,
        source="config",
        decided_by="stages",
    )


def _what_if(
    now: Services,
    artifact: Artifact,
    thresholds: tuple[float, ...],
    novelty: float,
    workload: str | None,
    since: int | None,
    until: int | None,
) -> dict[str, Any]:
    scored = now.ledger.scored(artifact.hash, since, until)
    if workload is not None:
        scored = [one for one in scored if one.workload == workload]
    compared = labels.read(now.ledger, artifact, novelty, workload)
    moment = time.time_ns() // 1000
    found = statements.comparisons(now.ledger, moment, until)
    seen = whatif.traffic(scored, novelty, found.ratios)
    hosting = float(now.ledger.hosting(moment).per_hour(moment)) / PICODOLLARS * HOURS_A_MONTH
    investment = now.ledger.investment() / PICODOLLARS
    span = whatif.months(scored, since, until)
    return {
        "artifact": artifact.hash,
        "novelty_threshold": novelty,
        "months": span,
        "comparisons": len(compared.score),
        "comparisons_needed": compared.missing,
        "compared_pairs": found.pairs,
        "compared_pairs_needed": found.needed,
        "points": [
            whatif.what_if(
                seen,
                one,
                labels=compared,
                months=span,
                hosting_usd_per_month=hosting,
                investment_usd=investment,
            )
            for one in thresholds
        ],
    }


async def _stored(now: Services, change: Callable[[], ActivePolicy]) -> ActivePolicy:
    """The policy after a change. Raises RequestError 500 where it could not be stored."""
    try:
        return await now.ledger.ask(change)
    except (OSError, LedgerError) as error:
        why = error.strerror if isinstance(error, OSError) else "the ledger does not take it"
        raise RequestError(
            500,
            f"The policy cannot be stored ({why}); nothing was changed.",
            type="server_error",
            code="policy_not_stored",
        ) from None


async def _from_ledger(now: Services, read: Callable[[], _Read]) -> _Read:
    """What `read` finds once settled requests are written. Raises RequestError 400 for its period, 503."""

    def after_writes() -> _Read:
        now.ledger.flush(_FLUSH_SECONDS)
        return read()

    try:
        return await now.ledger.ask(after_writes)
    except ValueError as error:  # a period that the ledger cannot cut
        raise RequestError(400, str(error), code="invalid_period") from None
    except LedgerError:
        raise ledger_unavailable() from None
