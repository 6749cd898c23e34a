"""/admin/whatif: what other thresholds would have meant for recorded traffic. For holders of the admin key."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Query, Security

from breakeven.gateway.accounting.money import PICODOLLARS
from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.api.admin_schemas import WhatIf
from breakeven.gateway.api.errors import documented
from breakeven.gateway.api.reading import Since, Until, from_ledger
from breakeven.gateway.api.route import ApiRoute, Now
from breakeven.gateway.api.schema import Share
from breakeven.gateway.api.security import admin_key
from breakeven.gateway.economics.periods import HOURS_A_MONTH
from breakeven.gateway.ledger import statements
from breakeven.gateway.reports import labels, whatif
from breakeven.gateway.reports.labels import Labels
from breakeven.gateway.runtime.services import Services
from breakeven.router.evaluation.tune import Traffic
from breakeven.router.model.artifact import Artifact

router = APIRouter(prefix="/admin", tags=["admin"], route_class=ApiRoute, dependencies=[Security(admin_key)])


@router.get("/whatif", responses=documented(400, 401, 404, 503))
async def get_whatif(
    now: Now,
    threshold: Annotated[
        Share | None, Query(description="The threshold to look at; absent: 21 of them from 0 to 1, or `shares`.")
    ] = None,
    shares: Annotated[
        int | None,
        Query(
            ge=2, le=101, description="Look at thresholds for so many teacher shares from 0 to 1 in the place of those."
        ),
    ] = None,
    of: Annotated[
        Literal["in_force", "config"],
        Query(
            description="Whose scores: those of the router that routes the workload now, or of the config's router, "
            "which thresholds that PUT /admin/policy sets are for."
        ),
    ] = "in_force",
    novelty_threshold: Annotated[
        Share | None, Query(description="The novelty threshold to assume; absent: the one in force.")
    ] = None,
    workload: Annotated[str | None, Query(description="Only requests of this workload; absent: of all.")] = None,
    since: Since = None,
    until: Until = None,
) -> WhatIf:
    """Say what other thresholds would have meant for recorded traffic."""
    unit = now.unit(DEFAULT_WORKLOAD if workload is None else workload)
    artifact, policy = unit.artifact, unit.policy
    if of == "config":
        artifact, policy = now.artifact, now.policies.active.policy
    novelty = policy.novelty_threshold if novelty_threshold is None else novelty_threshold

    def read() -> dict[str, Any]:
        seen = _Seen.read(now, artifact, novelty, workload, since, until)
        if threshold is not None:
            return seen.to_dict((threshold,))
        return seen.to_dict(whatif.POINTS if shares is None else whatif.by_share(seen.traffic, shares))

    return WhatIf.model_validate(await from_ledger(now, read))


class _Seen(NamedTuple):
    """What the ledger has of an artifact's scores. `traffic` is of requests, or of comparisons while no request was
    scored; `rest` are the fields of the answer beside its points.
    """

    traffic: Traffic
    labels: Labels
    months: float | None
    hosting: float
    investment: float
    rest: dict[str, Any]

    @classmethod
    def read(
        cls,
        now: Services,
        artifact: Artifact,
        novelty: float,
        workload: str | None,
        since: int | None,
        until: int | None,
    ) -> _Seen:
        """Raises LedgerError, ValueError for a period."""
        scored = now.ledger.scored(artifact.hash, since, until)
        if workload is not None:
            scored = [one for one in scored if one.workload == workload]
        compared = labels.read(now.ledger, artifact, novelty, workload)
        at = time.time_ns() // 1000
        found = statements.comparisons(now.ledger, at, until)
        # In stage observe no request is scored when it comes, but those that were compared are now.
        by_comparisons = not scored and len(compared.score) > 0
        traffic = labels.traffic(compared) if by_comparisons else whatif.traffic(scored, novelty, found.ratios)
        span = whatif.months(scored, since, until)
        return cls(
            traffic,
            compared,
            span,
            float(now.ledger.hosting(at).per_hour(at)) / PICODOLLARS * HOURS_A_MONTH,
            now.ledger.investment() / PICODOLLARS,
            {
                "artifact": artifact.hash,
                "novelty_threshold": novelty,
                "months": span,
                "of": "comparisons" if by_comparisons else "requests",
                "comparisons": len(compared.score),
                "comparisons_needed": compared.missing,
                "compared_pairs": found.pairs,
                "compared_pairs_needed": found.needed,
            },
        )

    def to_dict(self, thresholds: Sequence[float]) -> dict[str, Any]:
        """As JSON values, with a point for each threshold."""
        points = [
            whatif.what_if(
                self.traffic,
                one,
                labels=self.labels,
                months=self.months,
                hosting_usd_per_month=self.hosting,
                investment_usd=self.investment,
            )
            for one in thresholds
        ]
        return self.rest | {"points": points}
