"""Session affinity: holds are bounded and expire, belong to one conversation, and follow from the earlier turns."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.policy import Assessment, Decision, Hold, Policy, Reason, Route
from breakeven.router.sticky import Assessments, Conversations, Session, replayed, trace
from breakeven.router.text import read_chat

REASONS = {Route.TEACHER: Reason.DIFFICULT, Route.STUDENT: Reason.EASY}


def decided(reason: Reason, route: Route = Route.TEACHER, hold: Hold | None = None) -> Decision:
    return Decision(route, reason, None, 0.5, None, hold)


def remember(
    held: Conversations,
    key: bytes,
    route: Route,
    now: float,
    *,
    named: bool = True,
    reason: Reason | None = None,
    escalated: bool = False,
    answered: Route | None = None,
) -> None:
    decision = decided(reason or REASONS[route], route)
    session = Session(key, held.recall(key, now), None if named else (None, 1, 1))
    held.remember(session, decision, escalated, answered or route, now)


def route_of(held: Conversations, key: bytes, now: float) -> Route | None:
    found = held.recall(key, now)
    return found.route if found else None


def test_a_named_conversation_on_the_teacher_does_not_move_back() -> None:
    held = Conversations()
    remember(held, b"a", Route.STUDENT, 0.0)
    assert held.recall(b"a", 1.0) == Hold(Route.STUDENT, "easy", 3600.0, Route.STUDENT, Route.STUDENT)
    remember(held, b"a", Route.TEACHER, 2.0)
    remember(held, b"a", Route.STUDENT, 3.0)
    assert held.recall(b"a", 4.0) == Hold(Route.TEACHER, "difficult", 3603.0, Route.STUDENT, Route.STUDENT)
    assert held.recall(b"b", 4.0) is None


def test_messages_that_several_have_sent_hold_nobody_once_they_were_decided_in_two_ways() -> None:
    held = Conversations()
    remember(held, b"a", Route.TEACHER, 0.0, named=False)
    remember(held, b"a", Route.TEACHER, 1.0, named=False)
    assert route_of(held, b"a", 2.0) is Route.TEACHER
    for number, route in enumerate((Route.STUDENT, Route.TEACHER, Route.TEACHER, Route.STUDENT)):
        remember(held, b"a", route, 3.0 + number, named=False)
        assert held.recall(b"a", 10.0) == Hold(None, "", 3603.0 + number, route, route)
    # They are forgotten as others are.
    remember(held, b"a", Route.TEACHER, 5000.0, named=False)
    assert route_of(held, b"a", 5001.0) is Route.TEACHER


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    "reason", [Reason.UNAVAILABLE, Reason.MODALITY, Reason.TOOLS, Reason.CONTEXT, Reason.ROUTER_ERROR]
)
def test_only_what_was_asked_holds_a_conversation(reason: Reason, named: bool) -> None:
    held = Conversations()
    remember(held, b"a", Route.TEACHER, 0.0, named=named, reason=reason)
    assert held.recall(b"a", 1.0) == Hold(None, "", 3600.0, Route.TEACHER, Route.TEACHER)
    remember(held, b"b", Route.TEACHER, 0.0, named=named)
    remember(held, b"b", Route.STUDENT, 1.0, named=named, reason=reason)
    assert held.recall(b"b", 1.0) == Hold(Route.TEACHER, "difficult", 3601.0, Route.STUDENT, Route.STUDENT)


@pytest.mark.parametrize("named", [False, True])
def test_a_fallback_holds_nothing_and_leaves_the_hold_of_the_decision(named: bool) -> None:
    held = Conversations()
    remember(held, b"a", Route.STUDENT, 0.0, named=named, answered=Route.TEACHER)
    assert held.recall(b"a", 1.0) == Hold(Route.STUDENT, "easy", 3600.0, Route.TEACHER, Route.TEACHER)


def test_an_escalation_holds_only_under_an_id() -> None:
    held = Conversations()
    for key, named in ((b"a", True), (b"b", False)):
        remember(held, key, Route.STUDENT, 0.0, named=named, escalated=True, answered=Route.TEACHER)
    assert held.recall(b"a", 1.0) == Hold(Route.TEACHER, "escalated", 3600.0, Route.TEACHER, Route.TEACHER)
    assert held.recall(b"b", 1.0) == Hold(Route.STUDENT, "easy", 3600.0, Route.TEACHER, Route.TEACHER)


def test_conversations_expire_after_the_idle_time() -> None:
    held = Conversations(idle_seconds=10.0)
    remember(held, b"a", Route.TEACHER, 0.0)
    remember(held, b"a", Route.STUDENT, 9.0)
    assert route_of(held, b"a", 18.0) is Route.TEACHER
    assert held.recall(b"a", 19.0) is None
    assert len(held) == 0
    remember(held, b"a", Route.STUDENT, 20.0)
    assert route_of(held, b"a", 21.0) is Route.STUDENT


@given(st.lists(st.integers(0, 9), max_size=40))
def test_the_most_recent_conversations_are_kept(keys: list[int]) -> None:
    held = Conversations(limit=3)
    for now, key in enumerate(keys):
        remember(held, bytes([key]), Route.STUDENT, float(now))
    recent = list(dict.fromkeys(reversed(keys)))[:3]
    assert len(held) == len(recent)
    assert all(route_of(held, bytes([key]), float(len(keys))) is Route.STUDENT for key in recent)


def test_named_keys_differ_by_client_kind_and_the_whole_id() -> None:
    held = Conversations()
    long = "x" * 5000
    inputs = [
        ("a", "id", "hello"), ("b", "id", "hello"), (None, "id", "hello"), ("", "id", "hello"),
        ("a", "other", "hello"), ("a", "idh", "ello"), ("ai", "d", "hello"), ("a", "id", long), ("a", "id", long + "y"),
    ]  # fmt: skip
    keys = {held.named_key(*one) for one in inputs}
    assert len(keys) == len(inputs)
    assert all(len(key) == 32 for key in keys)
    assert held.named_key("a", "id", "hello") == held.named_key("a", "id", "hello")
    # No client can compute another's key.
    assert Conversations().named_key("a", "id", "hello") not in keys


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_prefix_keys_tell_apart_whatever_was_said_differently() -> None:
    held = Conversations()
    different: list[list[Any]] = [
        [user("ab")], [user("a"), user("b")], [user("a")], [user(["a", "b"])], [user([["a"], "b"])],
        [user("ab"), user("")], [user(1)], [user(1.0)], [user(True)], [user(None)], [{"role": "user"}],
        [{"role": "system", "content": "ab"}], [user("a\x00b")], [user({"type": "text", "text": "ab"})],
    ]  # fmt: skip
    flat = [held.prefix_key("a", one, len(one)) for one in different]
    assert None not in flat
    assert len(set(flat)) == len(different)
    assert held.prefix_key("b", [user("ab")], 1) != held.prefix_key("a", [user("ab")], 1)
    # The order of fields is not part of what was said.
    assert held.prefix_key("a", [{"content": "ab", "role": "user"}], 1) == flat[0]


def test_the_key_of_a_beginning_is_that_of_the_earlier_request() -> None:
    held = Conversations()
    items = [user("a"), {"role": "assistant", "content": "b"}, user("c")]
    assert held.prefix_key("a", items, 1) == held.prefix_key("a", items[:1], 1)
    assert held.prefix_key("a", items, 1) != held.prefix_key("a", items, 3)


def test_the_longest_beginning_that_is_known_counts() -> None:
    held = Conversations()
    items = [
        user("a"),
        {"role": "assistant", "content": "b"},
        user("c"),
        {"role": "assistant", "content": "d"},
        user("e"),
    ]
    assert held.find("a", items, [1, 3], 0.0) is None
    for end, route in ((1, Route.STUDENT), (3, Route.TEACHER)):
        key = held.prefix_key("a", items, end)
        assert key is not None
        session = Session(key, None, trace("a", items, end))
        held.remember(session, decided(REASONS[route], route), False, route, 0.0)
    on_teacher = Hold(Route.TEACHER, "difficult", 3600.0, Route.TEACHER, Route.TEACHER)
    on_student = Hold(Route.STUDENT, "easy", 3600.0, Route.STUDENT, Route.STUDENT)
    assert held.find("a", items, [1, 3], 1.0) == (3, on_teacher)
    assert held.find("a", items, [1], 1.0) == (1, on_student)
    assert held.find("b", items, [1, 3], 1.0) is None
    # Of the same length and at the same place, and still not the same.
    other = [user("a"), {"role": "assistant", "content": "x"}, *items[2:]]
    assert held.find("a", other, [1, 3], 1.0) == (1, on_student)
    assert held.find("a", items, [1, 3], 3600.0) is None
    assert not held.traced(trace("a", items, 3))


def test_traces_end_with_their_entries() -> None:
    held = Conversations(limit=2)
    marks = [trace("a", [user("x" * number)], 1) for number in range(5)]
    for number, mark in enumerate(marks):
        held.remember(Session(bytes([number]), None, mark), decided(Reason.DIFFICULT), False, Route.TEACHER, 0.0)
    assert [held.traced(mark) for mark in marks] == [False, False, False, True, True]


def test_a_text_is_scored_once() -> None:
    asked: list[str] = []

    def assess(text: str) -> Assessment:
        asked.append(text)
        return Assessment(0.5, None)

    known = Assessments(limit=2)
    known.put("artifact", "a", Assessment(0.1, 0.2))
    assert known.of("artifact", assess)("a") == Assessment(0.1, 0.2)
    # What another artifact made of it says nothing.
    assert known.of("other", assess)("a") == Assessment(0.5, None)
    assert [known.of("other", assess)(text).score for text in ("a", "b", "c", "a", "\ud800")] == [0.5] * 5
    assert asked == ["a", "b", "c", "a", "\ud800"]


def test_what_cannot_be_encoded_has_no_key() -> None:
    held = Conversations()
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert held.prefix_key("a", [user(2**70)], 1) is None
    assert held.prefix_key("a", [user("\ud800")], 1) is None
    assert held.prefix_key("a", [user(deep)], 1) is None


def test_an_id_under_which_not_exactly_one_conversation_began_is_shared() -> None:
    held = Conversations()
    assert held.shared(b"a", begins=False)
    assert not held.shared(b"a", begins=True)
    held.remember(Session(b"a", None, begins=b"a"), decided(Reason.EASY), False, Route.STUDENT, 0)
    assert not held.shared(b"a", begins=False)
    assert held.shared(b"a", begins=True)
    held.remember(Session(b"x", None, (None, 1, 1), b"a"), decided(Reason.EASY), False, Route.STUDENT, 3)
    assert held.shared(b"a", begins=False)
    assert not held.shared(b"b", begins=True)


def test_the_beginnings_of_earlier_requests_are_found() -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "1"}]}
    result = {"role": "tool", "content": "42"}
    messages = [{"role": "system", "content": "s"}, user("a"), call, result, {"role": "assistant", "content": "b"}]
    seen = read_chat([*messages, user("c")])
    assert (seen.replies, seen.asked, seen.last_user) == ((2, 4), 6, 5)
    # The last answer is one that the model is to go on with.
    seen = read_chat(messages)
    assert (seen.replies, seen.asked, seen.last_user) == ((2,), 4, 1)
    assert read_chat(messages[:2]).replies == ()
    assert read_chat([{"role": "assistant", "content": "Welcome!"}, user("a")]).replies == ()


def test_a_run_of_items_that_a_model_made_is_one_answer() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    call = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "1", "output": "42"}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]}
    seen = read_chat([user("a"), thought, call, output, thought, said, user("c")])
    assert (seen.replies, seen.asked) == ((1, 4), 7)


def test_earlier_turns_have_the_text_that_they_were_scored_with() -> None:
    turns: list[Any] = []
    scored: list[str] = []
    for number in range(9):
        turns.append(user(f"Question number {number}, long enough to stand alone?" if number % 2 else "And then?"))
        seen = read_chat(turns)
        assert list(seen.earlier) == scored[-4:]
        scored.append(seen.text)
        turns.append({"role": "assistant", "content": "An answer."})


def test_messages_that_nobody_has_answered_are_no_earlier_turns() -> None:
    assert read_chat([user("The environment of an agent, the same in every session."), user("Hello!")]).earlier == ()


def test_a_tool_result_as_last_message_is_detected() -> None:
    asked = [user("x"), {"role": "assistant", "tool_calls": [{"id": "1"}]}]
    assert not read_chat(asked).answers_tool
    assert read_chat([*asked, {"role": "tool", "content": "42"}]).answers_tool
    assert not read_chat([*asked, {"role": "tool", "content": "42"}, user("y")]).answers_tool
    assert read_chat([user("x"), {"type": "function_call_output", "output": "1"}]).answers_tool
    assert not read_chat([user("x"), {"type": "function_call", "arguments": "1"}]).answers_tool


def test_the_route_follows_from_the_earlier_turns() -> None:
    scores = {"easy": Assessment(0.1, 0.5), "hard": Assessment(0.6, 0.5), "odd": Assessment(0.1, 0.99)}
    policy = Policy(0.5, 0.95)
    assert replayed([], scores.__getitem__, policy) is None
    assert replayed(["easy", "easy"], scores.__getitem__, policy) == Hold(Route.STUDENT, "easy")
    assert replayed(["easy", "hard", "easy"], scores.__getitem__, policy) == Hold(Route.TEACHER, "difficult")
    assert replayed(["odd"], scores.__getitem__, policy) == Hold(Route.TEACHER, "novel")
    # As it was decided then: a conversation on the student leaves it only above the band.
    assert replayed(["easy", "hard"], scores.__getitem__, policy, 0.2) == Hold(Route.STUDENT, "easy")
    assert replayed(["hard", "easy"], scores.__getitem__, policy, 0.2) == Hold(Route.TEACHER, "difficult")
