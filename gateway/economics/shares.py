"""Savings by workload and by client key: the parts add up to the savings of all routed traffic, but for rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from breakeven.gateway.economics.baseline import Estimate, Ratios
from breakeven.gateway.economics.totals import Sum, traffic_of
from breakeven.router.policy import Reason, Route

# Metrics and tables stay bounded: the largest are listed, and all others together. Names of keys have no parentheses.
MOST = 50
OTHER, NONE, SHADOW = "(other)", "(none)", "(shadow)"


class Share(NamedTuple):
    """What one workload or client key cost and saved, in picodollars, without pinned requests.

    `hosting` is its part of the student's hosting, by the tokens that the student served. `baseline` and `savings` are
    None until answers enough were compared. `upper_bound` is of the baseline.
    """

    name: str
    requests: int
    spend: int
    hosting: int
    upper_bound: int
    baseline: Estimate | None
    savings: Estimate | None


def shares(
    groups: Sequence[Sum], by: Sequence[str], name: str, ratios: Ratios | None, hosting: int
) -> tuple[Share, ...]:
    """The shares by `name`, which is `workload` or `key`, the largest baseline first.

    `groups` are the ledger's sums grouped `by` these names, `upstream`, `pinned`, `reason` and STRATA among them;
    `hosting` is to be divided, in picodollars.
    """
    parts = _parts(groups, by, name)
    weights = _weights(parts, by)
    whole, before, done = sum(weights), 0, 0
    found = []
    for (label, routed), weight in zip(parts.items(), weights, strict=True):
        before += weight
        upto = hosting * before // whole if whole else 0
        part, done = upto - done, upto
        spend = sum(one.cost for one in routed)
        traffic = traffic_of(routed, by)
        baseline = None if ratios is None else ratios.estimate(traffic)
        found.append(
            Share(
                label,
                sum(one.requests for one in routed),
                spend,
                part,
                traffic.upper_bound,
                baseline,
                None if baseline is None else baseline.less(spend + part),
            )
        )
    return tuple(found)


def _parts(groups: Sequence[Sum], by: Sequence[str], name: str) -> dict[str, list[Sum]]:
    """The routed sums of each label; those with the largest baselines first, all above MOST in one, the last.

    The teacher's answers for comparison belong to a workload, and to no client key.
    """
    at, pinned, reason = by.index(name), by.index("pinned"), by.index("reason")
    parts: dict[str, list[Sum]] = {}
    for one in groups:
        if not one.group[pinned]:
            of_shadow = name == "key" and one.group[reason] == Reason.SHADOW
            parts.setdefault(SHADOW if of_shadow else str(one.group[at]) or NONE, []).append(one)
    order = sorted(parts, key=lambda label: (-sum(one.baseline for one in parts[label]), label))
    found = {label: parts[label] for label in order[:MOST]}
    rest = [one for label in order[MOST:] for one in parts[label]]
    return found | ({OTHER: rest} if rest else {})


def _weights(parts: dict[str, list[Sum]], by: Sequence[str]) -> list[int]:
    """How hosting is divided: by the tokens that the student served; where there are none, by requests."""
    at = by.index("upstream")
    tokens = [sum(one.tokens for one in of if one.group[at] == Route.STUDENT) for of in parts.values()]
    return tokens if any(tokens) else [sum(one.requests for one in of) for of in parts.values()]
