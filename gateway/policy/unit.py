"""What decides the requests of one workload: the router artifact, its thresholds and the rule of escalation, as one."""

from __future__ import annotations

from typing import NamedTuple

from breakeven.gateway.config.routing import Escalation
from breakeven.gateway.road.stages import Rates, Stage
from breakeven.router.model.artifact import Artifact
from breakeven.router.policy import Policy


class Unit(NamedTuple):
    """The artifact with the `policy` of its scores, and the `escalation` rule, None for none.

    `routes`: whether scores decide; else the teacher answers what is not pinned and not overridden with `auto@`.
    `rates` are the probabilities with which answers are compared.
    """

    stage: Stage
    artifact: Artifact
    policy: Policy
    escalation: Escalation | None
    routes: bool
    rates: Rates
