"""Decisions as /admin shows them: how hard each prompt was among others of its workload."""

from __future__ import annotations

from typing import Any

from breakeven.gateway.accounting.money import exact
from breakeven.gateway.api.admin_schemas import Difficulty, RecordedDecision, RecordedDecisions
from breakeven.gateway.ledger.decisions import Wanted
from breakeven.gateway.reports import explained
from breakeven.gateway.road.share import NEWEST_SCORES
from breakeven.gateway.runtime.services import Services
from breakeven.router.explain import reasons
from breakeven.router.model.artifact import Artifact

_Seen = dict[tuple[str, str], list[tuple[float, float]]]


def recorded(now: Services, limit: int, wanted: Wanted) -> RecordedDecisions:
    """The newest `limit` settled requests that are wanted. Raises LedgerError."""
    seen: _Seen = {}
    found = now.ledger.decisions(limit, wanted)
    rows = [_recorded(row, _standing(now, row, seen)) for row in found.rows]
    return RecordedDecisions(decisions=rows, next_before=found.next_before)


def explained_request(now: Services, row: dict[str, Any], text: str | None) -> tuple[RecordedDecision, list[str]]:
    """One request, and phrases on its `text`, where that is stored and the artifact that scored it is there."""
    standing = _standing(now, row, {})
    artifact = _artifacts(now).get(row["artifact"])
    hard = standing is not None and (standing.harder_than or standing.probability or 0.0) >= 0.5
    why = [] if artifact is None or text is None else reasons(artifact.difficulty, text, hard=hard)
    return _recorded(row, standing), why


def difficulty(of: explained.Standing) -> Difficulty:
    """How hard a prompt is, as documented."""
    return Difficulty(**of._asdict(), text=str(of))


def _artifacts(now: Services) -> dict[str, Artifact]:
    return {one.hash: one for one in (*now.state.units.artifacts.values(), now.artifact)}


def _standing(now: Services, row: dict[str, Any], seen: _Seen) -> explained.Standing | None:
    artifact = _artifacts(now).get(row["artifact"])
    if artifact is None or row["score"] is None:
        return None
    of = (row["workload"], artifact.hash)
    if of not in seen:
        seen[of] = now.ledger.road.newest_scores(*of, NEWEST_SCORES)
    return explained.standing(artifact, row["score"], seen[of])


def _recorded(row: dict[str, Any], standing: explained.Standing | None) -> RecordedDecision:
    """A row of the ledger with its picodollars as exact USD, as in the report."""
    money = {"cost_usd": exact(int(row["cost"] or 0)), "baseline_usd": exact(row["baseline"])}
    hardness = None if standing is None else difficulty(standing)
    rest = {name: value for name, value in row.items() if name not in ("cost", "baseline")}
    return RecordedDecision.model_validate(rest | money | {"difficulty": hardness})
