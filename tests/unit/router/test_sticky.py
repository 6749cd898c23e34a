"""Session affinity: stored routes are bounded and expire, and follow from the earlier turns where none is stored."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.policy import Assessment, Policy, Route
from breakeven.router.sticky import Conversations, conversation_key, replayed
from breakeven.router.text import read_chat


def test_a_conversation_on_the_teacher_does_not_move_back() -> None:
    held = Conversations()
    held.remember(b"a", Route.STUDENT, 0.0)
    assert held.recall(b"a", 1.0) is Route.STUDENT
    held.remember(b"a", Route.TEACHER, 2.0)
    held.remember(b"a", Route.STUDENT, 3.0)
    assert held.recall(b"a", 4.0) is Route.TEACHER
    assert held.recall(b"b", 4.0) is None


def test_conversations_expire_after_the_idle_time() -> None:
    held = Conversations(idle_seconds=10.0)
    held.remember(b"a", Route.TEACHER, 0.0)
    held.remember(b"a", Route.STUDENT, 9.0)
    assert held.recall(b"a", 18.0) is Route.TEACHER
    assert held.recall(b"a", 19.0) is None
    assert len(held) == 0
    held.remember(b"a", Route.STUDENT, 20.0)
    assert held.recall(b"a", 21.0) is Route.STUDENT


@given(st.lists(st.integers(0, 9), max_size=40))
def test_the_most_recent_conversations_are_kept(keys: list[int]) -> None:
    held = Conversations(limit=3)
    for now, key in enumerate(keys):
        held.remember(bytes([key]), Route.STUDENT, float(now))
    recent = list(dict.fromkeys(reversed(keys)))[:3]
    assert len(held) == len(recent)
    assert all(held.recall(bytes([key]), float(len(keys))) is Route.STUDENT for key in recent)


def test_keys_differ_by_client_id_and_opening() -> None:
    keys = {
        conversation_key("a", None, "hello"),
        conversation_key("b", None, "hello"),
        conversation_key(None, None, "hello"),
        conversation_key("a", None, "hallo"),
        conversation_key("a", "hello", ""),
        conversation_key("a", "other", ""),
        conversation_key("", "\ud800", "\udfff"),
    }
    assert len(keys) == 7
    assert conversation_key("a", "id", "one opening") == conversation_key("a", "id", "another one")


def test_the_opening_is_the_same_in_every_turn() -> None:
    first = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Tell me about Rome."}]
    more = [*first, {"role": "assistant", "content": "A city."}, {"role": "user", "content": "And Naples?"}]
    assert read_chat(first).opening == read_chat(more).opening == "Be short.\nTell me about Rome."
    assert read_chat(first).earlier == ()
    assert read_chat(more).earlier == ("Tell me about Rome.",)
    assert read_chat(more).text == "Tell me about Rome.\nAnd Naples?"


def test_earlier_turns_have_the_text_that_they_were_scored_with() -> None:
    turns = [{"role": "user", "content": f"Question number {n}, long enough to stand alone?"} for n in range(9)]
    for count in range(1, 10):
        seen = read_chat(turns[:count])
        before = [read_chat(turns[:n]).text for n in range(1, count)]
        assert list(seen.earlier) == before[-4:]


def test_a_tool_result_as_last_message_is_detected() -> None:
    asked = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"id": "1"}]}]
    assert not read_chat(asked).answers_tool
    assert read_chat([*asked, {"role": "tool", "content": "42"}]).answers_tool
    assert not read_chat([*asked, {"role": "tool", "content": "42"}, {"role": "user", "content": "y"}]).answers_tool
    assert read_chat([{"role": "user", "content": "x"}, {"type": "function_call_output", "output": "1"}]).answers_tool


def test_the_route_follows_from_the_earlier_turns() -> None:
    scores = {"easy": Assessment(0.1, 0.5), "hard": Assessment(0.6, 0.5), "odd": Assessment(0.1, 0.99)}
    policy = Policy(0.5, 0.95)
    assert replayed([], scores.__getitem__, policy) is None
    assert replayed(["easy", "easy"], scores.__getitem__, policy) is Route.STUDENT
    assert replayed(["easy", "hard", "easy"], scores.__getitem__, policy) is Route.TEACHER
    assert replayed(["odd"], scores.__getitem__, policy) is Route.TEACHER
