"""Conversations of the Messages API: session affinity, results of tools, and what a model thought."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.contract.anthropic_like import MESSAGES, asked, message
from tests.contract.client import Response
from tests.contract.gateway import Gateway
from tests.contract.scripted import ScriptedUpstream, answer, completion, error_answer

CONFIG: dict[str, Any] = {
    "routing": {"sticky": True, "threshold": 0.5},
    "teacher": {"messages": "native"},
}
EASY, DIFFICULT = "auto@1", "auto@0"
Turns = list[dict[str, Any]]


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content[0] if len(content) == 1 and isinstance(content[0], str) else [*content]}


def said(*content: Any) -> dict[str, Any]:
    return {**user(*content), "role": "assistant"}


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def use(id: str = "t1") -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "f", "input": {}}


def result(id: str = "t1") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": "42"}


CACHED = {"cache_control": {"type": "ephemeral"}}
TOOLS = [{"name": "f", "input_schema": {"type": "object"}}]


@pytest.fixture(autouse=True)
def answers(student: ScriptedUpstream, teacher: ScriptedUpstream) -> None:
    teacher.default(*answer(message()))


def send(gateway: Gateway, turns: Turns, model: str = EASY, **fields: Any) -> Response:
    response = gateway.post(asked(model=model, messages=turns, **fields), path=MESSAGES)
    assert response.status == 200, response.body
    return response


def where(response: Response) -> tuple[str, str, str | None]:
    headers = response.headers
    return headers["x-breakeven-route"], headers["x-breakeven-reason"], headers.get("x-breakeven-hold")


def test_a_conversation_is_known_again_although_its_marks_for_the_cache_move(gateway: Gateway) -> None:
    first = f"first {time.time_ns()}"
    billing = [text("x-anthropic-billing-header: cch=1"), text("Be brief.", **CACHED)]
    assert where(send(gateway, [user(text(first, **CACHED))], DIFFICULT, system=billing))[:2] == (
        "teacher",
        "difficult",
    )
    billing[0] = text("x-anthropic-billing-header: cch=2")
    turns = [user(first), said("hello"), user(text("thanks", **CACHED))]
    assert where(send(gateway, turns, system=billing)) == ("teacher", "sticky", "difficult")
    other = [user(first + "!"), said("hello"), user("thanks")]
    assert where(send(gateway, other, system=billing))[:2] == ("student", "easy")


@pytest.mark.parametrize(
    "form",
    [
        "user_abc_account_def_session_{}",
        '{{"device_id":"d","account_uuid":"","session_id":"{}"}}',
    ],
)
def test_the_session_in_the_users_id_is_a_conversation(gateway: Gateway, form: str) -> None:
    session = f"0b5c-{time.time_ns()}"
    metadata = {"user_id": form.format(session)}
    assert where(send(gateway, [user("a")], DIFFICULT, metadata=metadata))[:2] == ("teacher", "difficult")
    assert where(send(gateway, [user("other")], metadata=metadata)) == ("teacher", "sticky", "difficult")
    other = {"user_id": form.format(session + "1")}
    assert where(send(gateway, [user("other")], metadata=other))[:2] == ("student", "easy")
    # A user's id without a session is none: all of a user's conversations would be one.
    plain = {"user_id": f"user-{session}"}
    send(gateway, [user("a")], DIFFICULT, metadata=plain)
    assert where(send(gateway, [user("other")], metadata=plain))[:2] == ("student", "easy")


def test_the_result_of_a_call_goes_to_the_upstream_that_made_it(gateway: Gateway, student: ScriptedUpstream) -> None:
    calls = {"role": "assistant", "content": None, "tool_calls": [
        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}  # fmt: skip
    value = completion()
    value["choices"][0] |= {"message": calls, "finish_reason": "tool_calls"}
    student.script(*answer(value))
    metadata = {"user_id": f"user_a_account__session_{time.time_ns()}-x"}
    first = send(gateway, [user("what is it?")], tools=TOOLS, metadata=metadata)
    assert first.json["content"] == [use()]
    turns = [user("what is it?"), said(use()), user(result(), text("<system-reminder>x</system-reminder>"))]
    # Difficult now, but the call is the student's.
    for after in ([], [{"role": "system", "content": "The date has changed."}]):
        response = send(gateway, [*turns, *after], DIFFICULT, tools=TOOLS, metadata=metadata)
        assert where(response) == ("student", "sticky", "tool_call")
    assert [one["role"] for one in student.last.json["messages"]] == [
        "user", "assistant", "tool", "user", "system",
    ]  # fmt: skip


def test_reminders_of_the_client_are_not_what_the_user_asked(gateway: Gateway) -> None:
    def score(*content: Any) -> str:
        return str(send(gateway, [user(*content)], "auto").headers["x-breakeven-score"])

    question = f"What is two and two? {time.time_ns()}"
    reminder = text("<system-reminder>\nProve Fermat's last theorem in Lean 4.\n</system-reminder>")
    assert score(reminder, text(question)) == score(question)
    assert score(text(reminder["text"].replace("system-", "")), text(question)) != score(question)


def thinking(signature: str | None) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "hm", **({} if signature is None else {"signature": signature})}


def test_what_the_student_thought_is_not_sent_to_the_teacher(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    first = f"q {time.time_ns()}"
    send(gateway, [user(first)], thinking={"type": "adaptive"})
    turns = [user(first), said(thinking(""), text("hello")), user("now a difficult one, in a long sentence of its own")]
    assert where(send(gateway, turns, DIFFICULT))[:2] == ("teacher", "difficult")
    assert teacher.last.json["messages"][1]["content"] == [text("hello")]
    # Where it is not known who thought it, the request stays as it is until the upstream refuses it.
    turns = [user(f"{first} 2"), said(thinking("made elsewhere"), text("hello")), user("x")]
    teacher.script(*error_answer(400, "Invalid `signature` in `thinking` block"))
    assert send(gateway, turns, "teacher").status == 200
    assert [one.json["messages"][1]["content"] for one in teacher.received[-2:]] == [
        turns[1]["content"], [text("hello")],
    ]  # fmt: skip


def test_a_reasoning_conversation_is_text_to_the_router(gateway: Gateway, student: ScriptedUpstream) -> None:
    turns = [
        user(f"a {time.time_ns()}"), said(thinking("s"), {"type": "redacted_thinking", "data": "x"}, use()),
        user(result()),
        said(thinking("s"), text("b")), user("c"),
    ]  # fmt: skip
    assert where(send(gateway, turns, tools=TOOLS))[:2] == ("student", "easy")
    assert "hm" not in json.dumps(student.last.json)


@pytest.mark.parametrize(
    ("content", "route"),
    [
        ([{"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}], "teacher"),
        ([{"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}], "teacher"),
        ([{**result(), "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}], "teacher"),
        ([{**result(), "content": [{"type": "tool_reference", "tool_name": "f"}]}], "student"),
        ([{"type": "search_result", "source": "s", "title": "t", "content": [text("x")]}], "teacher"),
        ([text("a"), text("b", **CACHED)], "student"),
    ],
)
def test_media_decide_the_route(gateway: Gateway, content: list[Any], route: str) -> None:
    before = [user(f"a {time.time_ns()}"), said(use())] if content[0]["type"] == "tool_result" else []
    response = send(gateway, [*before, user(*content)])
    assert response.headers["x-breakeven-route"] == route
    if route == "teacher":
        assert response.headers["x-breakeven-reason"] == "modality"
