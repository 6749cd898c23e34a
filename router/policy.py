"""The routing rules: an ordered list, of which the first that applies gives the route and the reason."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from breakeven.router.text import Conversation


class Route(StrEnum):
    """The two upstreams that a request can be routed to."""

    STUDENT = "student"
    TEACHER = "teacher"

    @property
    def other(self) -> Route:
        """The teacher for the student, and the student for the teacher."""
        return Route.TEACHER if self is Route.STUDENT else Route.STUDENT


class Reason(StrEnum):
    """Why a route was chosen: first the rules in their order, then FALLBACK and the others that no rule gives."""

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
    NO_STUDENT = "no_student"
    # Not a client's request: the teacher's answer to a prompt that the student had answered, for comparison.
    SHADOW = "shadow"


class Capabilities(NamedTuple):
    """The student's modalities, tool support and context window in tokens; None is unknown and not checked."""

    modalities: frozenset[str]
    tools: bool
    context_window: int | None


class Policy(NamedTuple):
    """The thresholds, in [0, 1]: difficult at score >= `threshold`, novel at novelty >= `novelty_threshold`."""

    threshold: float
    novelty_threshold: float


class Assessment(NamedTuple):
    """The score of a text in [0, 1], and its novelty in [0, 1), None without a reference set."""

    score: float
    novelty: float | None


class Decision(NamedTuple):
    """The route of a request and the reason, with the threshold in force.

    Score and novelty are None where an earlier rule decided without them.
    """

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
    """Apply the rules in order: pinned, modality, tools, context, unavailable, sticky, novel, difficult, easy.

    The first rule that applies decides. A request that only the teacher can take goes to the teacher even where that is
    not available, since the student could not answer it. `max_output_tokens` is the request's limit, None where it has
    none; `assess` gives score and novelty of a text and is only called where a rule needs them.

    `held` is the upstream that answered the conversation before, None for a new one. A conversation on the teacher
    stays there. One on the student stays there for the result of a tool call, and while the score is less than `band`,
    the score's standard error, above the threshold.
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
    # Novelty is always below 1, so that a threshold of 1 switches this rule off.
    if novelty is not None and novelty >= policy.novelty_threshold:
        return to(Route.TEACHER, Reason.NOVEL, score, novelty)
    if held is Route.STUDENT and policy.threshold <= score < policy.threshold + band:
        return to(Route.STUDENT, Reason.STICKY, score, novelty)
    if score >= policy.threshold:
        return to(Route.TEACHER, Reason.DIFFICULT, score, novelty)
    return to(Route.STUDENT, Reason.EASY, score, novelty)
