"""Decisions as /admin shows them: how hard each prompt was among others of its workload."""

from __future__ import annotations

from typing import Any

from breakeven.gateway.accounting.money import exact
from breakeven.gateway.api.admin_schemas import Difficulty, RecordedDecision
from breakeven.gateway.reports import explained
from breakeven.gateway.road.share import NEWEST_SCORES
from breakeven.gateway.runtime.services import Services


def recorded(now: Services, limit: int, before: int | None) -> list[RecordedDecision]:
    """The newest `limit` settled requests, with `before` only older ones. Raises LedgerError."""
    artifacts = {one.hash: one for one in (*now.state.units.artifacts.values(), now.artifact)}
    seen: dict[tuple[str, str], list[tuple[float, float]]] = {}
    found = []
    for row in now.ledger.decisions(limit, before):
        artifact, hardness = artifacts.get(row["artifact"]), None
        if artifact is not None and row["score"] is not None:
            of = (row["workload"], artifact.hash)
            if of not in seen:
                seen[of] = now.ledger.road.newest_scores(*of, NEWEST_SCORES)
            hardness = difficulty(explained.standing(artifact, row["score"], seen[of]))
        found.append(_recorded(row, hardness))
    return found


def difficulty(of: explained.Standing) -> Difficulty:
    """How hard a prompt is, as documented."""
    return Difficulty(**of._asdict(), text=str(of))


def _recorded(row: dict[str, Any], hardness: Difficulty | None) -> RecordedDecision:
    """A row of the ledger with its picodollars as exact USD, as in the report."""
    money = {"cost_usd": exact(int(row["cost"] or 0)), "baseline_usd": exact(row["baseline"])}
    rest = {name: value for name, value in row.items() if name not in ("cost", "baseline")}
    return RecordedDecision.model_validate(rest | money | {"difficulty": hardness})
