"""/admin/policy: the thresholds that an operator sets for all workloads. For holders of the admin key."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

from fastapi import APIRouter, Request, Security

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.api.admin_schemas import PolicyInForce
from breakeven.gateway.api.errors import documented
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.security import admin_key, who
from breakeven.gateway.errors import LedgerError, RequestError
from breakeven.gateway.ledger.road import POLICY, Event
from breakeven.gateway.policy.active import ActivePolicy, PolicyUpdate
from breakeven.gateway.runtime.services import Services

_log = logging.getLogger("breakeven.policy")


class _PolicyRoute(ApiRoute):
    max_body_bytes = 1 << 20
    body_code = "invalid_policy"


router = APIRouter(prefix="/admin", tags=["admin"], route_class=_PolicyRoute, dependencies=[Security(admin_key)])


@router.get("/policy", responses=documented(401, 404))
async def get_policy(now: Now) -> PolicyInForce:
    """Read the policy in force. Where stages decide it is that of requests without a workload; a threshold of 0 sends
    all of them to the teacher.
    """
    return in_force(now)


@router.put("/policy", responses=documented(400, 401, 404, 408, 409, 413, 500))
async def put_policy(update: PolicyUpdate, request: Request, now: Now) -> PolicyInForce:
    """Route all workloads by this policy, whatever their stages are; fields that are not sent stay as they are. It
    survives a restart.
    """
    if update.threshold is None and in_force(now).decided_by == "stages":
        raise RequestError(
            400,
            "Stages decide now, each with a threshold of its own; give a threshold to route by it instead.",
            param="threshold",
            code="invalid_policy",
        )
    await change_policy(now, update, who(request))
    return in_force(now)


@router.delete("/policy", responses=documented(401, 404, 500))
async def delete_policy(request: Request, now: Now) -> PolicyInForce:
    """Go back to the policy of the config, or to the stages where it has neither threshold nor artifact."""
    await change_policy(now, None, who(request))
    return in_force(now)


def in_force(now: Services) -> PolicyInForce:
    """The policy in force, and what decided it."""
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


async def change_policy(now: Services, update: PolicyUpdate | None, by: str) -> None:
    """Set the policy, or remove it with None, and enter that in the history: `by` is who did it.

    Raises RequestError 409 for one of another router artifact, 500 where it could not be stored.
    """
    if update is not None and update.artifact not in (None, now.artifact.hash):
        raise RequestError(
            409,
            f"This policy is for router {update.artifact}, but {now.artifact.hash} is running; tune again.",
            param="artifact",
            code="another_artifact",
        )
    before = now.policies.active
    await _stored(now, now.policies.clear if update is None else lambda: now.policies.put(update))
    after = now.policies.active
    undo = before.model_dump(mode="json", exclude={"source"}) if before.source == "admin" else None
    happened = Event(
        time.time_ns() // 1000,
        "",
        POLICY,
        _text(before, after, now.config.operator_routes),
        by,
        json.dumps({"kind": "policy", "policy": undo}),
    )
    try:
        await now.ledger.ask(lambda: now.ledger.changes.put(happened))
    except LedgerError as error:
        _log.error("the policy was changed, but its history cannot be written: %s", error)


def _text(before: ActivePolicy, after: ActivePolicy, configured: bool) -> str:
    if after.source == "config":
        return f"the policy was removed; {'the config decides' if configured else 'the stages decide'}"
    said = [f"all workloads are routed by threshold {after.threshold:.4g}"]
    if before.source == "admin":
        said.append(f"before: {before.threshold:.4g}")
    if after.novelty_threshold < 1.0 or before.novelty_threshold != after.novelty_threshold:
        said.append(f"novelty threshold {after.novelty_threshold:.4g}")
    if after.escalation is not None:
        said.append("with escalation")
    return ", ".join(said)


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
