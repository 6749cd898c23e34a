"""What is selected of kept conversations, why, and on which side of a dataset it is."""

from __future__ import annotations

from typing import Any

import pytest

from breakeven.models.data.prompts import prompt_of
from breakeven.models.harvest.kept import Kept
from breakeven.models.harvest.select import Candidate, select, side
from tests.unit.models.harvest.conversations import compared, kept

QUESTION = "What is the capital of France?"


def one(*conversations: Kept) -> Candidate:
    (found,) = select(conversations, 0.0).candidates
    return found


@pytest.mark.parametrize(
    ("conversation", "reason", "lacks"),
    [
        (kept("a", QUESTION, reason="difficult"), "difficult", True),
        (kept("a", QUESTION, reason="novel"), "novel", True),
        (kept("a", QUESTION, reason="escalated"), "escalated", True),
        (kept("a", QUESTION, reason="sticky", hold="difficult"), "difficult", True),
        (kept("a", QUESTION, reason="sticky", hold="tool_call"), "sticky", False),
        (kept("a", QUESTION, reason="fallback"), "fallback", False),
        (kept("a", QUESTION), "observe", False),
        (compared("a", QUESTION, 0.4, reason="difficult"), "lost", True),
        (compared("a", QUESTION, 1.0, reason="difficult"), "difficult", True),
        (compared("a", QUESTION, 1.0, reason="easy"), "easy", False),
        (compared("a", QUESTION, 1.0, reason="easy", feedback=0.0, on_teacher=False), "feedback", True),
        (compared("a", QUESTION, 1.0, reason="easy", feedback=1.0, on_teacher=False), "easy", False),
    ],
)
def test_the_strongest_reason_counts(conversation: Kept, reason: str, lacks: bool) -> None:
    found = one(conversation)
    assert (found.reason, found.lacks, found.row["reason"]) == (reason, lacks, reason)


@pytest.mark.parametrize(
    ("conversation", "why"),
    [
        (kept("a", QUESTION, said="Par", finish="length"), "truncated"),
        (kept("a", QUESTION, said="I'm sorry, I can't help with that."), "refused"),
        (kept("a", QUESTION, finish="content_filter"), "refused"),
        (kept("a", QUESTION, said=" "), "empty"),
        (kept("a", QUESTION, feedback=0.0, on_teacher=True), "bad feedback on the teacher's answer"),
        (
            kept("a", "", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
            "messages: content must be a text",
        ),
    ],
)
def test_what_nobody_should_learn_is_rejected_with_the_reason(conversation: Kept, why: str) -> None:
    found = select([conversation], 0.0)
    assert (found.candidates, [row["reason"] for row in found.rejected]) == ([], [why])


def test_only_comparisons_of_the_student_of_now_count() -> None:
    old = compared("a", QUESTION, 0.0, at=1, student_version="small@1", reason="easy")
    new = compared("b", "another", 0.5, at=2, student_version="small@2", reason="easy")
    other = compared("c", "third", 0.5, at=3, student_version="tiny", workload="code", reason="easy")
    found = {one.kept.request: (one.reason, one.loss) for one in select([old, new, other], 0.0).candidates}
    assert found == {"a": ("easy", None), "b": ("lost", 0.5), "c": ("lost", 0.5)}


def test_a_row_has_all_that_the_model_was_given_and_trains_on_the_teachers_answer_alone() -> None:
    tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "what the student said"},
        {"role": "user", "content": "go on"},
    ]
    asked = {"type": "json_object"}
    answer = {"role": "assistant", "content": "{}", "reasoning_content": "Hm."}
    row = one(kept("a", "", messages=messages, tools=tools, response_format=asked, answer=answer)).row
    assert row["messages"] == [
        {"role": "user", "content": "one\ntwo"},
        {"role": "assistant", "content": "what the student said", "weight": 0},
        {"role": "user", "content": "go on"},
        answer,
    ]
    assert (row["tools"], row["response_format"]) == (tools, asked)
    assert (row["teacher_model"], row["teacher_usage"]) == ("big@1", {"prompt_tokens": 10, "output_tokens": 3})


def test_a_students_answer_that_a_user_disliked_is_a_prompt_for_the_teacher() -> None:
    bad: dict[str, Any] = {"by_teacher": False, "feedback": 0.0, "on_teacher": False}
    found = select(
        [
            kept("a", "liked", **bad | {"feedback": 1.0}),
            kept("b", "disliked", **bad),
            # Of this one there is the teacher's answer as well.
            kept("c", "compared", **bad),
            compared("c", "compared", 1.0, feedback=0.0, on_teacher=False),
        ],
        0.0,
    )
    assert [row["messages"][0]["content"] for row in found.unanswered] == ["disliked"]
    assert [(one.kept.request, one.reason) for one in found.candidates] == [("c", "feedback")]


def test_all_turns_of_a_conversation_are_on_one_side_and_where_generate_has_them() -> None:
    sides = set()
    for number in range(200):
        first = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"question {number}"}]
        later = [*first, {"role": "assistant", "content": f"a {number}"}, {"role": "user", "content": "and then?"}]
        again = [{**one, "content": f"  {one['content'].upper()} "} for one in first]
        assert (
            side(first, 0.3) == side(later, 0.3) == side(again, 0.3) == prompt_of({"messages": first}, "x").split(0.3)
        )
        # A smaller share holds out a part of the same.
        assert side(first, 0.3) == "eval" or side(first, 0.1) == "train"
        sides.add(side(first, 0.3))
    assert sides == {"train", "eval"}
