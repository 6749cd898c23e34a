"""The routing rules: an ordered list, of which the first that applies gives the route and the reason."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from breakeven.router.text import Conversation

# `Hold.why` beside the reasons of decisions: the result of a tool call, and state that one upstream stores.
TOOL_CALL = "tool_call"
STORED = "stored"


class Route(StrEnum):
    """Where a request goes: to one of the two upstreams that the rules choose between, or to a further model."""

    STUDENT = "student"
    TEACHER = "teacher"
    # A further model of the config, named by the client: no rule gives it, and ROUTED does not have it.
    MODEL = "model"

    @property
    def other(self) -> Route:
        """The teacher for the student, and the student for the teacher. Not for a further model, which has none."""
        return Route.TEACHER if self is Route.STUDENT else Route.STUDENT


# The two upstreams that a request can be routed to.
ROUTED = (Route.STUDENT, Route.TEACHER)


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
    # The workload is not routed yet: the teacher answers, and the student is measured beside it.
    OBSERVE = "observe"
    FALLBACK = "fallback"
    ESCALATED = "escalated"
    ROUTER_ERROR = "router_error"
    NO_STUDENT = "no_student"
    # Not a client's request: the calls of a comparison, to the upstream that had not answered it and to a judge.
    SHADOW = "shadow"


class Capabilities(NamedTuple):
    """What the student can do: the kinds of input that it reads and of output that it makes, whether it calls tools and
    those of which types, its context window in tokens, None being unknown and not checked, and whether it makes answers
    in the background.
    """

    modalities: frozenset[str]
    tools: bool
    context_window: int | None
    outputs: frozenset[str] = frozenset({"text"})
    tool_types: frozenset[str] = frozenset({"function"})
    background: bool = False

    def keeps(self, conversation: Conversation) -> bool:
        """Whether it has, or can store, all state that a request names or asks to be stored."""
        return not conversation.stored and (self.background or not conversation.background)


class Policy(NamedTuple):
    """The thresholds, in [0, 1]: difficult at score >= `threshold`, novel at novelty >= `novelty_threshold`."""

    threshold: float
    novelty_threshold: float


class Assessment(NamedTuple):
    """The score of a text in [0, 1], and its novelty in [0, 1), None without a reference set."""

    score: float
    novelty: float | None


class Hold(NamedTuple):
    """What the earlier turns of a conversation say about the next one.

    `route`: the upstream that it stays on, None if only `answered` is known; `why`: what put it there; `until`: when
    that ends, in seconds since the Unix epoch, None for as long as the request carries the earlier turns. `answered`:
    the upstream that made the last answer that is remembered; `called`: the same, as long as the user has said nothing
    since, so that it made the calls whose results the request brings. Both are None if that is not known. `provider`
    says which one `answered` was, where a route has several; "" is the first.
    """

    route: Route | None
    why: str
    until: float | None = None
    answered: Route | None = None
    called: Route | None = None
    provider: str = ""


class Decision(NamedTuple):
    """The route of a request and the reason, with the threshold in force.

    Score and novelty are None where an earlier rule decided without them. `hold` is what made it STICKY, else None.
    """

    route: Route
    reason: Reason
    score: float | None
    threshold: float
    novelty: float | None
    hold: Hold | None = None


def decide(
    conversation: Conversation,
    *,
    pin: Route | None,
    policy: Policy,
    student: Capabilities,
    max_output_tokens: int | None,
    available: frozenset[Route],
    assess: Callable[[str], Assessment],
    held: Hold | None = None,
    band: float = 0.0,
    routes: bool = True,
) -> Decision:
    """Apply the rules in order: pinned, modality, tools, context, unavailable, sticky, observe, novel, difficult, easy.

    The first rule that applies decides. A request that only the teacher can take goes to the teacher even where that is
    not available, since the student could not answer it. `max_output_tokens` is the request's limit, None where it has
    none; `assess` gives score and novelty of a text and is only called where a rule needs them.

    State that the teacher's API stores goes there, an answer in the background too where the student makes none, and
    so do items that only their maker is sure to read, unless the student answered before.

    `held` is what earlier turns say, None for a new conversation. The result of a tool call goes to the upstream that
    made the call. A conversation on the teacher stays there. One on the student stays there while the score is less
    than `band`, the score's standard error, above the threshold. Without `routes` no score decides, but the teacher
    answers, with the reason OBSERVE.
    """

    def to(
        route: Route, reason: Reason, score: float | None = None, novelty: float | None = None, hold: Hold | None = None
    ) -> Decision:
        return Decision(route, reason, score, policy.threshold, novelty, hold)

    if pin is not None:
        return to(pin, Reason.PINNED)
    missing = lacking(conversation, student, max_output_tokens)
    if missing is not None:
        return to(Route.TEACHER, missing)
    state = _state(conversation, student, held)
    if state is not None:
        return to(Route.TEACHER, Reason.STICKY, hold=state)
    if Route.STUDENT not in available:
        return to(Route.TEACHER, Reason.UNAVAILABLE if routes else Reason.OBSERVE)
    if Route.TEACHER not in available:
        return to(Route.STUDENT, Reason.UNAVAILABLE)
    if held is not None and conversation.answers_tool and held.called is not None:
        return to(held.called, Reason.STICKY, hold=held._replace(route=held.called, why=TOOL_CALL))
    if not routes:
        return to(Route.TEACHER, Reason.OBSERVE)
    if held is not None and held.route is Route.TEACHER:
        return to(Route.TEACHER, Reason.STICKY, hold=held)
    score, novelty = assess(conversation.text)
    # Novelty is always below 1, so that a threshold of 1 switches this rule off.
    if novelty is not None and novelty >= policy.novelty_threshold:
        return to(Route.TEACHER, Reason.NOVEL, score, novelty)
    if held is not None and held.route is Route.STUDENT and policy.threshold <= score < policy.threshold + band:
        return to(Route.STUDENT, Reason.STICKY, score, novelty, held)
    if score >= policy.threshold:
        return to(Route.TEACHER, Reason.DIFFICULT, score, novelty)
    return to(Route.STUDENT, Reason.EASY, score, novelty)


def _state(conversation: Conversation, student: Capabilities, held: Hold | None) -> Hold | None:
    """The hold of a request that the student cannot take since the teacher has state of it, or is to store its answer;
    None without any.
    """
    if not student.keeps(conversation):
        return Hold(Route.TEACHER, STORED)
    made_by_student = held is not None and held.answered is Route.STUDENT
    return Hold(Route.TEACHER, TOOL_CALL) if conversation.made and not made_by_student else None


def lacking(conversation: Conversation, student: Capabilities, max_output_tokens: int | None) -> Reason | None:
    """Why the student cannot take the request; None if it can."""
    if not (conversation.modalities <= student.modalities and conversation.outputs <= student.outputs):
        return Reason.MODALITY
    if conversation.tools and not (student.tools and conversation.tool_types <= student.tool_types):
        return Reason.TOOLS
    window = student.context_window
    if window is not None and conversation.tokens + (max_output_tokens or 0) > window:
        return Reason.CONTEXT
    return None
