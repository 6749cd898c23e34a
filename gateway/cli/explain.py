"""`breakeven route TEXT`: explain a routing decision."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from breakeven.gateway.accounting.record import DEFAULT_WORKLOAD
from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import BreakevenError, LedgerError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.opening import read_ledger
from breakeven.gateway.policy.capabilities import declared
from breakeven.gateway.policy.unit import Unit
from breakeven.gateway.reports import explained
from breakeven.gateway.road.machine import IN_FORCE
from breakeven.gateway.road.share import NEWEST_SCORES
from breakeven.gateway.runtime.road_follower import RoadFollower
from breakeven.gateway.runtime.share_thresholds import share_thresholds
from breakeven.gateway.runtime.trained_artifacts import artifacts_folder
from breakeven.gateway.runtime.units import Units
from breakeven.router.model.artifact import Artifact, load
from breakeven.router.policy import ROUTED, Capabilities, Decision, Policy, Reason, Route, decide
from breakeven.router.text import Conversation, read_chat


class _Rule(NamedTuple):
    """What decides: the artifact and the threshold of its scores, whether scores decide at all, and what says so."""

    artifact: Artifact
    threshold: float
    routes: bool
    said_by: str


def explain(prompt: str, config: Config | None, artifact: Path | None, threshold: float | None) -> Iterator[str]:
    """Lines to print: route, reason, why in words, score, threshold, novelty, and the features that changed the score
    most.

    Without a config, and without `artifact` and `threshold`, the packaged artifact decides by 0.5. Own traffic is known
    where the config's ledger can be read. Raises ArtifactError.
    """
    if artifact is None and config is not None and config.routing.artifact is not None:
        artifact = Path(config.routing.artifact)
    packaged = load(artifact)
    if config is not None and config.student is not None:
        packaged.check_student(config.student.model)
    novelty_threshold = config.routing.novelty_threshold if config is not None else 1.0
    conversation = read_chat([{"role": "user", "content": prompt}])
    with _ledger(config) as ledger:
        rule = _rule(config, ledger, packaged, threshold)
        decision = _decide(conversation, config, rule, novelty_threshold)
        # Scored even where a rule ahead of the score made the decision, to show what the score would have been.
        seen = rule.artifact.assess(conversation.text)
        why = explained.explain(ledger, rule.artifact, DEFAULT_WORKLOAD, conversation.text, seen.score)
        threshold_said = _threshold(ledger, rule)
    alone = config is not None and config.student is None
    yield f"route      {Route.TEACHER if alone else decision.route}"
    yield f"reason     {Reason.NO_STUDENT if alone else decision.reason}"
    yield f"why        {why}"
    yield f"score      {seen.score:.6f}"
    yield f"threshold  {threshold_said}"
    yield f"novelty    {seen.novelty:.6f} (novel at {novelty_threshold:g} or above)"
    yield f"tokens     about {conversation.tokens}"
    yield f"router     {rule.artifact.hash}"
    yield "largest feature contributions (+ towards the teacher, - towards the student):"
    for push in rule.artifact.difficulty.explain(conversation.text):
        yield f"  {push.push:+.3f}  {push.feature}"


def _threshold(ledger: Ledger | None, rule: _Rule) -> str:
    if not rule.routes:
        return f"none ({rule.said_by})"
    traffic: list[tuple[float, float]] = []
    if ledger is not None:
        with contextlib.suppress(LedgerError):
            traffic = ledger.road.newest_scores(DEFAULT_WORKLOAD, rule.artifact.hash, NEWEST_SCORES)
    return explained.threshold_text(rule.artifact, rule.threshold, traffic, rule.said_by)


def _rule(config: Config | None, ledger: Ledger | None, packaged: Artifact, threshold: float | None) -> _Rule:
    if threshold is not None:
        return _Rule(packaged, threshold, True, "--threshold")
    if config is None or config.operator_routes:
        given = config.routing.threshold if config is not None else None
        return _Rule(packaged, 0.5 if given is None else given, True, "default" if given is None else "config")
    unit = _unit(config, ledger, packaged)
    said_by = f"stage {unit.stage}" if unit.stage in IN_FORCE or not unit.routes else "start: share"
    return _Rule(unit.artifact, unit.policy.threshold, unit.routes, said_by)


def _unit(config: Config, ledger: Ledger | None, packaged: Artifact) -> Unit:
    """What decides the requests without a workload, as the gateways of this ledger know it."""
    units = Units()
    if ledger is not None:
        assert config.ledger.journal is not None, "load_config resolves it"
        RoadFollower(ledger.road, artifacts_folder(Path(config.ledger.journal)), units).follow()
        now = time.time_ns() // 1000
        units.share_thresholds = share_thresholds(ledger, config.routing, [DEFAULT_WORKLOAD], packaged.hash, now)
    return units.unit(DEFAULT_WORKLOAD, config, packaged)


def _decide(conversation: Conversation, config: Config | None, rule: _Rule, novelty_threshold: float) -> Decision:
    section = config.student if config is not None else None
    student = Capabilities(frozenset({"text"}), tools=True, context_window=None)
    return decide(
        conversation,
        pin=None,
        policy=Policy(rule.threshold, novelty_threshold),
        student=student if section is None else declared(section),
        max_output_tokens=None,
        available=frozenset(ROUTED),
        assess=rule.artifact.assess,
        routes=rule.routes,
    )


@contextlib.contextmanager
def _ledger(config: Config | None) -> Iterator[Ledger | None]:
    """The config's ledger; None where it is not there or cannot be read."""
    with contextlib.ExitStack() as stack:
        found = None
        if config is not None:
            with contextlib.suppress(BreakevenError):
                found = stack.enter_context(read_ledger(config))
        yield found
