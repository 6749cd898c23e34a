"""/admin: the policy, a decision without a call, the report, decisions and what-if. For holders of the admin key."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from breakeven.gateway.accounting.money import PICODOLLARS, exact
from breakeven.gateway.api.request_body import read_body, read_model
from breakeven.gateway.economics.periods import HOURS_A_MONTH
from breakeven.gateway.endpoints.base import Adapter
from breakeven.gateway.endpoints.chat import ChatCompletions, Completions
from breakeven.gateway.errors import LedgerError, RequestError
from breakeven.gateway.ledger import statements
from breakeven.gateway.policy.active import Active, PolicyUpdate
from breakeven.gateway.proxy.decision import decision_for
from breakeven.gateway.reports import report, whatif
from breakeven.gateway.runtime.services import Services
from breakeven.gateway.wire.body import Body

_MAX_BODY = 1 << 20
Share = Annotated[float | None, Query(ge=0.0, le=1.0)]
# Microseconds; the last ones of the year 9999, beyond which no date can be written.
Moment = Annotated[int | None, Query(ge=0, le=253_402_300_799_999_999)]


def admin_router(services: Callable[[], Services]) -> APIRouter:
    """The routes under /admin, as of the services in force; without a key in the environment they are not there."""

    def authorise(request: Request) -> None:
        now = services()
        key = os.environ.get(now.config.admin.key_env)
        if not key:
            raise RequestError(404, "There is nothing at this path.", code="not_found")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Digests have one length, so that the time taken tells nothing of the key's.
        digests = (hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given.strip(), key))
        if not hmac.compare_digest(*digests) or scheme.lower() != "bearer":
            raise RequestError(
                401,
                "Send the admin key as 'Authorization: Bearer <key>'.",
                type="authentication_error",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        request.state.services = now

    router = APIRouter(prefix="/admin", dependencies=[Depends(authorise)])

    @router.get("/policy")
    async def get_policy(request: Request) -> JSONResponse:
        now: Services = request.state.services
        return _policy(now.policies.active)

    @router.put("/policy")
    async def put_policy(request: Request) -> JSONResponse:
        now: Services = request.state.services
        update = await read_model(request, PolicyUpdate, _MAX_BODY, code="invalid_policy")
        if update.artifact not in (None, now.artifact.hash):
            raise RequestError(
                409,
                f"These thresholds are for the router {update.artifact} and {now.artifact.hash} runs; tune again.",
                param="artifact",
                code="another_artifact",
            )
        return _policy(await _stored(lambda: now.policies.put(update)))

    @router.delete("/policy")
    async def delete_policy(request: Request) -> JSONResponse:
        now: Services = request.state.services
        return _policy(await _stored(now.policies.clear))

    @router.post("/route")
    async def route(request: Request) -> JSONResponse:
        now: Services = request.state.services
        return JSONResponse(_explained(now, Body(await read_body(request, _MAX_BODY))))

    @router.get("/report")
    async def get_report(request: Request, since: Moment = None, until: Moment = None) -> JSONResponse:
        now: Services = request.state.services

        def read() -> dict[str, Any]:
            now.ledger.flush(2.0)
            return report.books_to_dict(statements.read(now.ledger, time.time_ns() // 1000, since, until))

        return JSONResponse(await _from_ledger(read))

    @router.get("/decisions")
    async def decisions(
        request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 100, before: Moment = None
    ) -> JSONResponse:
        now: Services = request.state.services

        def read() -> list[dict[str, Any]]:
            now.ledger.flush(2.0)
            return [_dollars(row) for row in now.ledger.decisions(limit, before)]

        return JSONResponse({"decisions": await _from_ledger(read)})

    @router.get("/whatif")
    async def get_whatif(
        request: Request,
        threshold: Share = None,
        novelty_threshold: Share = None,
        since: Moment = None,
        until: Moment = None,
    ) -> JSONResponse:
        now: Services = request.state.services
        novelty = now.policies.active.novelty_threshold if novelty_threshold is None else novelty_threshold
        points = whatif.POINTS if threshold is None else (threshold,)

        def read() -> dict[str, Any]:
            now.ledger.flush(2.0)
            return _what_if(now, points, novelty, since, until)

        return JSONResponse(await _from_ledger(read))

    return router


def _what_if(
    now: Services, points: tuple[float, ...], novelty: float, since: int | None, until: int | None
) -> dict[str, Any]:
    scored = now.ledger.scored(now.artifact.hash, since, until)
    seen = whatif.traffic(scored, novelty)
    rates = now.ledger.rates()
    hosting = rates[-1].per_hour / PICODOLLARS * HOURS_A_MONTH if rates else 0.0
    investment = now.ledger.investment() / PICODOLLARS
    span = whatif.months(scored, since, until)
    return {
        "artifact": now.artifact.hash,
        "novelty_threshold": novelty,
        "months": span,
        "points": [
            whatif.what_if(seen, one, months=span, hosting_usd_per_month=hosting, investment_usd=investment)
            for one in points
        ],
    }


def _explained(now: Services, body: Body) -> dict[str, Any]:
    adapter: Adapter = ChatCompletions() if "messages" in body else Completions()
    adapter.check(body)
    decision = decision_for(now, adapter, body, available=None)
    conversation = adapter.conversation(body)
    pushes = now.artifact.difficulty.explain(conversation.text)
    return {
        **decision._asdict(),
        "tokens": conversation.tokens,
        "router": now.artifact.hash,
        "pushes": [push._asdict() for push in pushes],
    }


async def _stored(change: Callable[[], Active]) -> Active:
    try:
        return await asyncio.to_thread(change)
    except (OSError, LedgerError) as error:
        why = error.strerror if isinstance(error, OSError) else "the ledger does not take it"
        raise RequestError(
            500,
            f"The policy cannot be stored ({why}); nothing was changed.",
            type="server_error",
            code="policy_not_stored",
        ) from None


async def _from_ledger(read: Callable[[], Any]) -> Any:
    try:
        return await asyncio.to_thread(read)
    except ValueError as error:  # a period that the ledger cannot cut
        raise RequestError(400, str(error), code="invalid_period") from None
    except LedgerError:
        raise RequestError(
            503, "The ledger cannot be read now; try again.", type="server_error", code="ledger_unavailable"
        ) from None


def _policy(active: Active) -> JSONResponse:
    return JSONResponse(active.model_dump(mode="json"))


def _dollars(row: dict[str, Any]) -> dict[str, Any]:
    """A row with money as exact decimal strings, as in the report."""
    money = {"cost_usd": exact(int(row["cost"] or 0)), "baseline_usd": exact(row["baseline"])}
    return {name: value for name, value in row.items() if name not in ("cost", "baseline")} | money
