"""What became of the candidate for the next student, in words and figures."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
import yaml

from breakeven.gateway.config.schema import Config
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.road.candidate import Experiment, Phase, evidence
from breakeven.gateway.road.gate import judged
from breakeven.gateway.road.machine import promise_text
from breakeven.gateway.wire.moments import moment
from breakeven.router.statistics import Interval

# A config with both the new student and a router of the old one is refused.
_OWN_ROUTER = (
    "Remove its routing.artifact in the same edit, or name a router that learned from the new student there: one that "
    "learned from {student} still decides until then, and is refused beside the new student."
)


class Standing(NamedTuple):
    """Where the candidate stands. `named`: as the config has it, None without one; `waits`: what keeps it from being
    compared; `workloads`: of each the number of comparisons and the difference, candidate less student; `config`: what
    is to be written into the config, None where there is nothing.
    """

    experiment: Experiment
    named: str | None
    waits: str | None
    workloads: dict[str, tuple[int, Interval]]
    config: str | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        one = self.experiment
        known = one.difference is not None
        return {
            "candidate": one.candidate or self.named,
            "student": one.student or None,
            "teacher": one.teacher or None,
            "phase": str(one.phase) if one.candidate else None,
            "since": one.since or None,
            "why": one.why,
            "waits": self.waits,
            "comparisons": one.comparisons,
            "difference": {"value": one.difference, "low": one.low, "high": one.high} if known else None,
            "workloads": [
                {"workload": name, "comparisons": count, "difference": found._asdict()}
                for name, (count, found) in self.workloads.items()
            ],
            "routers": [
                {"workload": name, "proposal": msgspec.structs.asdict(road.proposal)}
                for name, road in sorted(one.roads.items())
                if road.proposal is not None
            ],
            "config": self.config,
        }

    def lines(self) -> list[str]:
        """For people."""
        one = self.experiment
        if not one.candidate:
            lines = ["there is no candidate" if self.named is None else f"{self.named}: not compared yet"]
            return [*lines, *([f"  waits: {self.waits}"] if self.waits else [])]
        lines = [f"{one.candidate}: {one.phase}" + (f" since {moment(one.since / 1e6)}" if one.since else "")]
        lines += [f"  {one.why}"] if one.why else []
        lines += [f"  waits: {self.waits}"] if self.waits else []
        if one.phase is Phase.COMPARING:
            lines.append(f"  {evidence(one)}; neither better nor worse so far")
        for name, (count, found) in self.workloads.items():
            value, low, high = (100 * value for value in found)
            lines.append(f"  {name}: {value:+.1f} points ({low:+.1f} to {high:+.1f}), from {count} requests")
        if one.phase is Phase.BETTER:
            lines += [f"  {text}" for text in _routers(one)]
            lines.append("  `breakeven candidate promote` makes it the student, with its routers")
        return lines + (self.config.splitlines() if self.config is not None else [])


def standing(ledger: Ledger, config: Config, experiment: Experiment) -> Standing:
    """Where the candidate stands; `config` as the file has it. Raises LedgerError."""
    named = None if config.candidate is None else config.candidate.named
    found = experiment
    if named is not None and experiment.named not in ("", named) and experiment.phase is not Phase.PROMOTED:
        found = Experiment()  # of another one
    return Standing(
        found, named, _waits(config) or found.held or None, _by_workload(ledger, config, found), to_write(config, found)
    )


def to_write(config: Config, experiment: Experiment) -> str | None:
    """What the operator is to write into the config, since the candidate is the student; None for nothing."""
    candidate, student = config.candidate, config.student
    if experiment.phase is not Phase.PROMOTED or candidate is None or student is None:
        return None
    if (candidate.named, student.named) != (experiment.named, experiment.student_named):
        return None
    text = yaml.safe_dump({"student": candidate.given()}, sort_keys=False, width=1000).rstrip()
    routes = f". {_OWN_ROUTER.format(student=student.named)}" if config.routing.artifact is not None else ":"
    return (
        f"The config still names {student.named} as the student. Put this in the place of its section student, and "
        f"remove its section candidate{routes}\n\n{text}"
    )


def _waits(config: Config) -> str | None:
    if config.candidate is None:
        return None
    if config.road.sample == 0.0:
        return "road.sample is 0: nothing is compared"
    return None


def _routers(experiment: Experiment) -> list[str]:
    certified = [
        f"{name}: {promise_text(road.proposal)}" for name, road in sorted(experiment.roads.items()) if road.proposal
    ]
    return certified or [
        "no router is certified for it yet: promoted now, the teacher answers until one is, where traffic is routed"
    ]


def _by_workload(ledger: Ledger, config: Config, one: Experiment) -> dict[str, tuple[int, Interval]]:
    if not one.candidate:
        return {}
    rows = ledger.candidates.compared((one.candidate, one.student, one.teacher), one.begun)
    found = {}
    bound = 2.0 if config.road.scorer == "judge" else 1.0
    for name in sorted({row.workload for row in rows}):
        own = [row for row in rows if row.workload == name]
        differences = np.clip([row.difference for row in own], -bound, bound)
        verdict = judged(differences, np.array([row.weight for row in own]), config.road.confidence, bound)
        if verdict is not None:
            found[name] = (verdict.comparisons, verdict.difference)
    return found
