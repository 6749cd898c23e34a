"""`breakeven route TEXT`: explain a routing decision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from breakeven.gateway.config.schema import Config
from breakeven.gateway.policy.capabilities import declared
from breakeven.router.model.artifact import load
from breakeven.router.policy import ROUTED, Capabilities, Policy, Reason, Route, decide
from breakeven.router.text import read_chat


def explain(prompt: str, config: Config | None, artifact: Path | None, threshold: float | None) -> Iterator[str]:
    """Lines to print: route, reason, score, threshold, novelty, and the features that changed the score most.

    Without a config, and without `artifact` and `threshold`, the defaults apply. Raises ArtifactError.
    """
    if artifact is None and config is not None and config.routing.artifact is not None:
        artifact = Path(config.routing.artifact)
    loaded = load(artifact)
    if threshold is None:
        given = config.routing.threshold if config is not None else None
        threshold = 0.5 if given is None else given
    novelty_threshold = config.routing.novelty_threshold if config is not None else 1.0
    student = Capabilities(frozenset({"text"}), tools=True, context_window=None)
    section = config.student if config is not None else None
    if section is not None:
        student = declared(section)
    conversation = read_chat([{"role": "user", "content": prompt}])
    decision = decide(
        conversation,
        pin=None,
        policy=Policy(threshold, novelty_threshold),
        student=student,
        max_output_tokens=None,
        available=frozenset(ROUTED),
        assess=loaded.assess,
    )
    # Scored even where a rule ahead of the score made the decision, to show what the score would have been.
    seen = loaded.assess(conversation.text)
    alone = config is not None and section is None
    yield f"route      {Route.TEACHER if alone else decision.route}"
    yield f"reason     {Reason.NO_STUDENT if alone else decision.reason}"
    yield f"score      {seen.score:.6f}"
    yield f"threshold  {threshold:g}"
    yield f"novelty    {seen.novelty:.6f} (novel at {novelty_threshold:g} or above)"
    yield f"tokens     about {conversation.tokens}"
    yield f"router     {loaded.hash}"
    yield "largest feature contributions (+ towards the teacher, - towards the student):"
    for push in loaded.difficulty.explain(conversation.text):
        yield f"  {push.push:+.3f}  {push.feature}"
