"""Session affinity: a conversation stays on its upstream, no other conversation does, and an outage holds nobody."""

from __future__ import annotations

import time
from calendar import timegm
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.client import Response
from tests.contract.gateway import Gateway
from tests.contract.scripted import ScriptedUpstream, answer, error_answer
from tests.contract.scripted import stream as event_stream
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object, typed

CONFIG = {"routing": {"sticky": True, "threshold": 0.5}, "server": {"drain_seconds": 1}}
CHAT, RESPONSES, COMPLETIONS = "/v1/chat/completions", "/v1/responses", "/v1/completions"
EASY, DIFFICULT = "auto@1", "auto@0"
Turns = list[dict[str, Any]]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str = "hello") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


@pytest.fixture(params=[(CHAT, False), (CHAT, True), (RESPONSES, False), (RESPONSES, True)], ids=lambda p: str(p))
def send(request: pytest.FixtureRequest, gateway: Gateway) -> Callable[..., Response]:
    """Send turns to one endpoint, streamed or not; both upstreams answer whatever they are sent."""
    path, streamed = request.param
    if path == RESPONSES:
        value = response_object(usage=RESPONSE_USAGE)
        events = (typed("response.created", response=value), typed("response.completed", response=value))
        for upstream in (gateway.student, gateway.teacher):
            upstream.default(*(event_stream(*events) if streamed else answer(value)))

    def ask(turns: Turns, model: str = EASY, headers: dict[str, str] | None = None, **fields: Any) -> Response:
        name = "messages" if path == CHAT else "input"
        response = gateway.post({"model": model, name: turns, "stream": streamed, **fields}, headers, path)
        assert response.status == 200, response.body
        return response

    return ask


def where(response: Response) -> tuple[str, str]:
    return response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]


def test_a_difficult_conversation_stays_on_the_teacher_and_says_why_and_until_when(
    gateway: Gateway, send: Callable[..., Response]
) -> None:
    turns = [user(f"first {time.time_ns()}")]
    assert where(send(turns, DIFFICULT)) == ("teacher", "difficult")
    turns += [said(), user("thanks")]
    response = send(turns)
    assert where(response) == ("teacher", "sticky")
    assert response.headers["x-breakeven-hold"] == "difficult"
    until = timegm(time.strptime(response.headers["x-breakeven-hold-until"], "%Y-%m-%dT%H:%M:%SZ"))
    assert 3500 < until - time.time() <= 3600
    record = gateway.record(response)
    assert (record["hold"], record["hold_until"]) == ("difficult", until)
    turns += [said("welcome"), user("and now?")]
    assert where(send(turns)) == ("teacher", "sticky")


def test_others_who_began_with_the_same_words_are_not_held_by_an_outage(
    gateway: Gateway, send: Callable[..., Response]
) -> None:
    hi = user(f"Hi {time.time_ns()}")
    gateway.student.script(*error_answer(503))
    response = send([hi])
    assert where(response) == ("teacher", "fallback")
    assert "x-breakeven-hold" not in response.headers
    for number in range(30):
        assert where(send([hi])) == ("student", "easy")
        assert where(send([hi, said(), user(f"question {number}")])) == ("student", "easy")


def test_others_who_began_with_the_same_words_are_not_held_by_a_difficult_second_turn(
    send: Callable[..., Response],
) -> None:
    hi = user(f"Hi {time.time_ns()}")
    send([hi])
    mine = [hi, said(), user("difficult")]
    assert where(send(mine, DIFFICULT)) == ("teacher", "difficult")
    for number in range(5):
        assert where(send([hi, said(), user(f"question {number}")])) == ("student", "easy")
    assert where(send([*mine, said(), user("thanks")])) == ("teacher", "sticky")


def test_others_who_began_with_the_same_words_are_not_held_by_another_threshold(send: Callable[..., Response]) -> None:
    hi = user(f"Hi {time.time_ns()}")
    for number in range(3):
        assert where(send([hi], DIFFICULT)) == ("teacher", "difficult")
        assert where(send([hi])) == ("student", "easy")
        # Whoever asked last.
        assert where(send([hi], DIFFICULT)) == ("teacher", "difficult")
        assert where(send([hi, said(), user(f"question {number}")])) == ("student", "easy")


def test_a_request_that_no_answer_precedes_is_never_held(send: Callable[..., Response]) -> None:
    environment = user(f"<environment>the same in every session {time.time_ns()}</environment>")
    assert where(send([environment, user("a difficult task")], DIFFICULT)) == ("teacher", "difficult")
    assert where(send([environment, user("another task")])) == ("student", "easy")
    assert where(send([environment, user("a difficult task")])) == ("student", "easy")


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("fell_back", [False, True])
def test_a_long_conversation_is_held_as_a_short_one(
    gateway: Gateway, send: Callable[..., Response], size: int, fell_back: bool
) -> None:
    turns = [user(f"first {time.time_ns()}" + " word" * size), said(), user("and?")]
    if fell_back:
        gateway.student.script(*error_answer(503))
        assert where(send(turns)) == ("teacher", "fallback")
    else:
        assert where(send(turns, DIFFICULT))[0] == "teacher"
    held = ("student", "easy") if fell_back else ("teacher", "sticky")
    assert where(send([*turns, said(), user("thanks")])) == held


def test_whoever_changes_the_history_is_not_held(send: Callable[..., Response]) -> None:
    first, second = user(f"first {time.time_ns()}"), user("second")
    send([first])
    assert where(send([first, said(), second], DIFFICULT)) == ("teacher", "difficult")
    assert where(send([first, said("edited"), second, said(), user("third")])) == ("student", "easy")
    assert where(send([first, said(), user("second, edited"), said(), user("third")])) == ("student", "easy")
    # A branch after the difficult turn still is that conversation.
    assert where(send([first, said(), second, said("another"), user("third")])) == ("teacher", "sticky")


IDS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"x-breakeven-conversation": "{}"}, {}),
    ({}, {"conversation": "{}"}),
    ({}, {"conversation": {"id": "{}"}}),
    ({}, {"metadata": {"session_id": "{}"}}),
    ({"session_id": "{}"}, {}),
    ({"session-id": "{}"}, {}),
    ({"x-session-id": "{}"}, {}),
    ({"conversation_id": "{}"}, {}),
    ({}, {"session_id": "{}"}),
    ({"session_id": "other"}, {"session_id": "{}"}),
    # The first of these counts.
    ({"x-breakeven-conversation": "{}", "session_id": "other"}, {"prompt_cache_key": "other"}),
    # These count together.
    ({"session_id": "other"}, {"prompt_cache_key": "{}"}),
    ({"session_id": "{}"}, {"prompt_cache_key": "an application's"}),
    ({}, {"prompt_cache_key": "an application's", "metadata": {"session_id": "{}"}}),
]


def filled(template: Any, name: str) -> Any:
    if isinstance(template, dict):
        return {key: filled(value, name) for key, value in template.items()}
    return template.replace("{}", name)


@pytest.mark.parametrize(("headers", "fields"), IDS, ids=lambda one: str(one))
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_the_clients_id_names_the_conversation(
    gateway: Gateway, path: str, headers: dict[str, str], fields: dict[str, Any]
) -> None:
    def send(name: str, text: str, model: str) -> tuple[str, str]:
        given = {"messages": [user(text)]} if path == CHAT else {"prompt": text}
        body = {"model": model, **given, **filled(fields, name)}
        return where(gateway.post(body, filled(headers, name), path))

    # Longer than any header that was once cut off, and different only at the end.
    name = "x" * 300 + str(time.time_ns())
    assert send(name, "one", DIFFICULT) == ("teacher", "difficult")
    assert send(name, "two", EASY) == ("teacher", "sticky")
    assert send(name + "y", "one", EASY) == ("student", "easy")


@pytest.mark.parametrize("fields", [{"prompt_cache_key": 7}, {"metadata": {"session_id": 7}}, {"metadata": "x"}])
def test_an_id_of_another_type_is_left_to_the_upstream(gateway: Gateway, fields: dict[str, Any]) -> None:
    assert gateway.post({"model": EASY, "messages": [user("hi")], **fields}).status == 200
    assert gateway.student.last.json.items() >= fields.items()


def test_an_outage_does_not_hold_a_named_conversation(gateway: Gateway) -> None:
    named = {"x-breakeven-conversation": f"outage-{time.time_ns()}"}
    gateway.student.script(*error_answer(503))
    assert where(gateway.post({"model": EASY, "messages": [user("a")]}, named)) == ("teacher", "fallback")
    assert where(gateway.post({"model": EASY, "messages": [user("b")]}, named)) == ("student", "easy")


def test_a_cache_key_names_the_only_conversation_that_began_under_it(send: Callable[..., Response]) -> None:
    key = f"key-{time.time_ns()}"
    assert where(send([user("one")], DIFFICULT, prompt_cache_key=key)) == ("teacher", "difficult")
    # Its client has shortened the history.
    shortened = [user("a summary"), said(), user("two")]
    assert where(send(shortened, prompt_cache_key=key)) == ("teacher", "sticky")
    assert where(send(shortened, prompt_cache_key=key + "y")) == ("student", "easy")


def test_a_cache_key_of_two_users_holds_neither_of_them(send: Callable[..., Response]) -> None:
    key, hi = f"app-{time.time_ns()}", user(f"Hi {time.time_ns()}")
    assert where(send([hi], DIFFICULT, prompt_cache_key=key)) == ("teacher", "difficult")
    assert where(send([user("another")], prompt_cache_key=key)) == ("student", "easy")
    assert where(send([user("another"), said(), user("more")], prompt_cache_key=key)) == ("student", "easy")


def test_a_cache_key_that_all_requests_have_holds_nobody(gateway: Gateway) -> None:
    def send(turns: Turns, model: str = EASY) -> tuple[str, str]:
        return where(gateway.post({"model": model, "messages": turns, "prompt_cache_key": key}))

    key, hi = f"app-{time.time_ns()}", user(f"Hi {time.time_ns()}")
    # A process that has not seen how these began cannot tell them apart by their key.
    assert send([user("a"), said(), user("difficult")], DIFFICULT)[0] == "teacher"
    assert send([user("b"), said(), user("easy")]) == ("student", "easy")
    for number in range(3):
        send([user(f"start {number}")])
    assert send([user("difficult")], DIFFICULT) == ("teacher", "difficult")
    for number in range(5):
        assert send([hi]) == ("student", "easy")
        assert send([hi, said(), user(f"question {number}")]) == ("student", "easy")
    # What was said still tells the conversations apart.
    mine = [hi, said(), user("difficult")]
    assert send(mine, DIFFICULT) == ("teacher", "difficult")
    assert send([*mine, said(), user("thanks")]) == ("teacher", "sticky")


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
OUTPUTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"type": f"{kind}_call", "call_id": "c", "id": "i"},
        {"type": f"{kind}_call_output", "call_id": "c", "output": output},
    )
    for kind, output in (
        ("function", "42"), ("custom_tool", "42"), ("local_shell", "42"), ("apply_patch", "done"),
        ("shell", [{"stdout": "42", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]),
    )
]  # fmt: skip
APPROVAL = (
    {"type": "mcp_approval_request", "id": "m", "name": "f", "arguments": "{}", "server_label": "s"},
    {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
)


@pytest.mark.parametrize(("call", "output"), [*OUTPUTS, APPROVAL], ids=lambda one: one["type"])
@pytest.mark.parametrize("fell_back", [False, True])
def test_the_output_of_a_call_returns_to_the_upstream_that_made_it(
    gateway: Gateway, call: dict[str, Any], output: dict[str, Any], fell_back: bool
) -> None:
    for upstream in (gateway.student, gateway.teacher):
        upstream.default(*answer(response_object(usage=RESPONSE_USAGE)))
    turns = [user(f"look {time.time_ns()}")]
    if fell_back:
        gateway.student.script(*error_answer(503))
    maker = "teacher" if fell_back else "student"
    assert gateway.post({"model": EASY, "input": turns}, path=RESPONSES).headers["x-breakeven-route"] == maker
    turns += [call, output]
    # The threshold would send it the other way.
    other = EASY if fell_back else DIFFICULT
    response = gateway.post({"model": other, "input": turns}, path=RESPONSES)
    assert where(response) == (maker, "sticky")
    assert response.headers["x-breakeven-hold"] == "tool_call"
    turns += [said(), user("and now?")]
    # Any upstream can read a function's call; what else the teacher called, the student may not know.
    known = call["type"] in ("function_call", "custom_tool_call") or maker == "student"
    later = ("student", "easy") if known else ("teacher", "sticky")
    assert where(gateway.post({"model": EASY, "input": turns}, path=RESPONSES)) == later


@pytest.mark.parametrize("fell_back", [False, True])
def test_the_result_of_a_chats_tool_call_returns_to_the_upstream_that_made_it(
    gateway: Gateway, student: ScriptedUpstream, fell_back: bool
) -> None:
    turns = [user(f"look {time.time_ns()}")]
    if fell_back:
        student.script(*error_answer(503))
    maker = "teacher" if fell_back else "student"
    assert gateway.post({"model": EASY, "messages": turns, "tools": TOOLS}).headers["x-breakeven-route"] == maker
    turns += [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call_1", "content": "42"}]
    other = EASY if fell_back else DIFFICULT
    assert where(gateway.post({"model": other, "messages": turns, "tools": TOOLS})) == (maker, "sticky")
    turns += [said(), user("and now?")]
    assert where(gateway.post({"model": EASY, "messages": turns, "tools": TOOLS})) == ("student", "easy")
