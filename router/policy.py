"""The ordered rules that end in a route and a reason."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from breakeven.router.text import Conversation


class Route(StrEnum):
    """Which upstream."""

    STUDENT = "student"
    TEACHER = "teacher"

    @property
    def other(self) -> Route:
        """The other upstream."""
        return Route.TEACHER if self is Route.STUDENT else Route.STUDENT


class Reason(StrEnum):
    """Why a route was chosen, in the order of the rules; the last four come after a decision."""

    PINNED = "pinned"
    MODALITY = "modality"
    TOOLS = "tools"
    CONTEXT = "context"
    UNAVAILABLE = "unavailable"
    STICKY = "sticky"
    NOVEL = "novel"
    DIFFICULT = "difficult"
    EASY = "easy"
    FALLBACK = "fallback"
    ESCALATED = "escalated"
    ROUTER_ERROR = "router_error"
    # No request of a client: the teacher was asked what the student had answered already, to compare.
    SHADOW = "shadow"


class Capabilities(NamedTuple):
    """What the student can take; a `context_window` of None is not known and not checked."""

    modalities: frozenset[str]
    tools: bool
    context_window: int | None


class Policy(NamedTuple):
    """`difficult` at score >= threshold; `novel` at novelty >= novelty_threshold."""

    threshold: float
    novelty_threshold: float


class Assessment(NamedTuple):
    """What the router makes of a text: the score, and the novelty where a reference set is known."""

    score: float
    novelty: float | None


class Decision(NamedTuple):
    """Where a request goes and why. Score and novelty are None where no rule needed them."""

    route: Route
    reason: Reason
    score: float | None
    threshold: float
    novelty: float | None


def decide(
    conversation: Conversation,
    *,
    pin: Route | None,
    policy: Policy,
    student: Capabilities,
    max_output_tokens: int | None,
    available: frozenset[Route],
    assess: Callable[[str], Assessment],
    held: Route | None = None,
    band: float = 0.0,
) -> Decision:
    """The ordered rules: pinned, modality, tools, context, unavailable, sticky, novel, difficult, easy.

    `held` is the upstream that the conversation was on before. The teacher keeps it; the student keeps it where
    a tool's result comes back to it, and where the score is less than `band`, its own uncertainty, above the
    threshold.

    The first rule that holds ends it. What only the teacher can take goes to the teacher even where the
    teacher is not available: a student that cannot read the request is no help.
    """

    def to(route: Route, reason: Reason, score: float | None = None, novelty: float | None = None) -> Decision:
        return Decision(route, reason, score, policy.threshold, novelty)

    if pin is not None:
        return to(pin, Reason.PINNED)
    if not conversation.modalities <= student.modalities:
        return to(Route.TEACHER, Reason.MODALITY)
    if conversation.tools and not student.tools:
        return to(Route.TEACHER, Reason.TOOLS)
    window = student.context_window
    if window is not None and conversation.tokens + (max_output_tokens or 0) > window:
        return to(Route.TEACHER, Reason.CONTEXT)
    if Route.STUDENT not in available:
        return to(Route.TEACHER, Reason.UNAVAILABLE)
    if Route.TEACHER not in available:
        return to(Route.STUDENT, Reason.UNAVAILABLE)
    if held is Route.TEACHER or (held is Route.STUDENT and conversation.answers_tool):
        return to(held, Reason.STICKY)
    score, novelty = assess(conversation.text)
    # A novelty is below 1, so that a threshold of 1 never holds.
    if novelty is not None and novelty >= policy.novelty_threshold:
        return to(Route.TEACHER, Reason.NOVEL, score, novelty)
    if held is Route.STUDENT and policy.threshold <= score < policy.threshold + band:
        return to(Route.STUDENT, Reason.STICKY, score, novelty)
    if score >= policy.threshold:
        return to(Route.TEACHER, Reason.DIFFICULT, score, novelty)
    return to(Route.STUDENT, Reason.EASY, score, novelty)
