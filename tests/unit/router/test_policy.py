"""The routing rules and their order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.policy import ROUTED, Assessment, Capabilities, Hold, Policy, Reason, Route, decide
from breakeven.router.text import Conversation

BOTH = frozenset(ROUTED)
ON_TEACHER = Hold(Route.TEACHER, "difficult", 5.0)
ON_STUDENT = Hold(Route.STUDENT, "easy", 5.0)
SHARE = st.floats(0, 1)


def run(**changes: Any) -> Any:
    conversation = Conversation("Why?", 100, frozenset({"text"}), False)._replace(**changes.pop("seen", {}))
    seen = Assessment(changes.pop("score", 0.2), changes.pop("novelty", 0.3))
    arguments: dict[str, Any] = {
        "pin": None,
        "policy": Policy(0.5, 1.0),
        "student": Capabilities(frozenset({"text"}), False, 1000),
        "max_output_tokens": 50,
        "available": BOTH,
        "assess": lambda _: seen,
    }
    return decide(conversation, **(arguments | changes))


RULES: list[tuple[Reason, Route, dict[str, Any]]] = [
    (Reason.PINNED, Route.STUDENT, {"pin": Route.STUDENT}),
    (Reason.MODALITY, Route.TEACHER, {"modalities": frozenset({"text", "image"})}),
    (Reason.TOOLS, Route.TEACHER, {"tools": True}),
    (Reason.CONTEXT, Route.TEACHER, {"tokens": 990}),
    (Reason.UNAVAILABLE, Route.TEACHER, {"available": frozenset({Route.TEACHER})}),
    (Reason.NOVEL, Route.TEACHER, {"novelty": 0.9, "policy": Policy(0.5, 0.9)}),
    (Reason.DIFFICULT, Route.TEACHER, {"score": 0.5}),
]


@pytest.mark.parametrize("first", range(len(RULES)))
def test_the_first_rule_that_applies_decides(first: int) -> None:
    seen, arguments = {}, {}
    for _, _, change in RULES[first:]:
        for key, value in change.items():
            (seen if key in Conversation._fields else arguments)[key] = value
    decision = run(seen=seen, **arguments)
    reason, route, _ = RULES[first]
    assert (decision.reason, decision.route) == (reason, route)


def test_easy_goes_to_the_student_with_its_score() -> None:
    decision = run()
    assert decision == (Route.STUDENT, Reason.EASY, 0.2, 0.5, 0.3, None)


def test_the_score_is_only_computed_where_a_rule_needs_it() -> None:
    def never(_: str) -> Assessment:
        raise AssertionError("scored")

    assert run(pin=Route.TEACHER, assess=never).score is None
    assert run(seen={"tokens": 5000}, assess=never).score is None


def test_without_a_teacher_the_student_answers_requests_that_it_supports() -> None:
    only = frozenset({Route.STUDENT})
    assert run(available=only).route is Route.STUDENT
    assert run(available=only).reason is Reason.UNAVAILABLE
    assert run(available=only, seen={"tools": True}).route is Route.TEACHER


def test_an_unknown_context_window_is_not_checked() -> None:
    student = Capabilities(frozenset({"text"}), True, None)
    assert run(student=student, seen={"tokens": 10**9}).reason is Reason.EASY


@given(score=SHARE, low=SHARE, high=SHARE)
def test_raising_the_threshold_never_lowers_the_students_share(score: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    if run(score=score, policy=Policy(low, 1.0)).route is Route.STUDENT:
        assert run(score=score, policy=Policy(high, 1.0)).route is Route.STUDENT


@given(novelty=st.floats(0, 1, exclude_max=True), low=SHARE, high=SHARE)
def test_raising_the_novelty_threshold_never_lowers_the_students_share(novelty: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    if run(novelty=novelty, policy=Policy(0.5, low)).route is Route.STUDENT:
        assert run(novelty=novelty, policy=Policy(0.5, high)).route is Route.STUDENT
    assert run(novelty=novelty, policy=Policy(0.5, 1.0)).reason is Reason.EASY


@pytest.mark.parametrize("score", [0.1, 0.5, 0.9])
def test_a_conversation_on_the_teacher_stays_there(score: float) -> None:
    assert run(held=ON_TEACHER, score=score)[:2] == (Route.TEACHER, Reason.STICKY)


def test_a_conversation_on_the_student_moves_to_the_teacher_only_beyond_the_standard_error() -> None:
    held = {"held": ON_STUDENT, "band": 0.05}
    assert run(score=0.52, **held)[:3] == (Route.STUDENT, Reason.STICKY, 0.52)
    assert run(score=0.56, **held)[:2] == (Route.TEACHER, Reason.DIFFICULT)
    assert run(score=0.4, **held)[:2] == (Route.STUDENT, Reason.EASY)
    assert run(score=0.52, band=0.05)[:2] == (Route.TEACHER, Reason.DIFFICULT)
    assert run(novelty=0.95, policy=Policy(0.5, 0.9), **held)[:2] == (Route.TEACHER, Reason.NOVEL)


@pytest.mark.parametrize("route", list(Route))
def test_a_tool_result_goes_to_the_upstream_that_made_the_call(route: Route) -> None:
    student = Capabilities(frozenset({"text"}), True, None)
    held = Hold(route.other, "difficult", 5.0, called=route)
    decision = run(held=held, score=0.99, student=student, seen={"tools": True, "answers_tool": True})
    assert decision[:2] == (route, Reason.STICKY)
    assert decision.hold == Hold(route, "tool_call", 5.0, called=route)


def test_a_sticky_decision_says_what_holds_it() -> None:
    assert run(held=ON_TEACHER).hold == ON_TEACHER
    assert run(held=ON_STUDENT, band=0.05, score=0.52).hold == ON_STUDENT
    assert run(held=ON_STUDENT).hold is None


def test_an_answer_of_unknown_origin_holds_nothing() -> None:
    assert run(held=Hold(None, "", 5.0, Route.TEACHER))[:2] == (Route.STUDENT, Reason.EASY)


def test_session_affinity_does_not_override_availability_or_capabilities() -> None:
    only = frozenset({Route.STUDENT})
    assert run(held=ON_TEACHER, available=only)[:2] == (Route.STUDENT, Reason.UNAVAILABLE)
    assert run(held=ON_STUDENT, seen={"tools": True})[:2] == (Route.TEACHER, Reason.TOOLS)


def test_without_a_reference_set_nothing_is_novel() -> None:
    assert run(novelty=None, policy=Policy(0.5, 0.0)).reason is Reason.EASY


@pytest.mark.parametrize(
    ("student", "seen", "reason"),
    [
        ({}, {"tools": True, "tool_types": frozenset({"function", "mcp"})}, Reason.TOOLS),
        ({"tool_types": frozenset({"mcp"})}, {"tools": True, "tool_types": frozenset({"mcp"})}, Reason.EASY),
        ({}, {"outputs": frozenset({"text", "audio"})}, Reason.MODALITY),
        ({"outputs": frozenset({"text", "audio"})}, {"outputs": frozenset({"audio"})}, Reason.EASY),
        ({}, {"stored": True}, Reason.STICKY),
        ({}, {"made": True}, Reason.STICKY),
    ],
)
def test_what_the_student_cannot_do_goes_to_the_teacher(
    student: dict[str, Any], seen: dict[str, Any], reason: Reason
) -> None:
    capabilities = Capabilities(frozenset({"text"}), True, None)._replace(**student)
    route = Route.STUDENT if reason is Reason.EASY else Route.TEACHER
    assert run(student=capabilities, seen=seen)[:2] == (route, reason)
    if route is Route.TEACHER:
        # Nor is it diverted to the student when the teacher is not available.
        assert run(student=capabilities, seen=seen, available=frozenset({Route.STUDENT})).route is Route.TEACHER


def test_items_that_the_student_made_do_not_bind_the_conversation_to_the_teacher() -> None:
    by_student, by_teacher = Hold(None, "", answered=Route.STUDENT), Hold(None, "", answered=Route.TEACHER)
    assert run(seen={"made": True}, held=by_student).reason is Reason.EASY
    assert run(seen={"made": True}, held=by_student, score=0.9).reason is Reason.DIFFICULT
    assert run(seen={"made": True}, held=by_teacher).hold == Hold(Route.TEACHER, "tool_call")
