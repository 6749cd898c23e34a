"""State that crosses routes: what one upstream's model thought or stored never makes the other one refuse a client."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.contract.client import Response
from tests.contract.gateway import Gateway
from tests.contract.scripted import ScriptedUpstream, answer, completion, error_answer, stream
from tests.contract.test_endpoints import RESPONSE_USAGE, response_object, typed

CONFIG = {"routing": {"sticky": True, "threshold": 0.5}}
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
STUDENT, TEACHER = "auto@1", "auto@0"
STREAMED = pytest.mark.parametrize("streamed", [False, True])


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def output(text: str = "hello", name: str = "msg_1") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": name, "status": "completed", "role": "assistant", "content": [part]}


SECRET = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
NAMED = {"type": "reasoning", "id": "rs_2", "summary": []}
READABLE = {
    "type": "reasoning",
    "id": "rs_3",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "Let me see."}],
    "weight": 1.0,
}
REFERENCE = {"type": "item_reference", "id": "msg_9"}
SHELL = [
    {"type": "shell_call", "id": "sh_1", "call_id": "c", "action": {"commands": ["ls"]}},
    {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a", "stderr": ""}]},
]


@pytest.fixture(autouse=True)
def answering(gateway: Gateway, request: pytest.FixtureRequest) -> None:
    """Both upstreams answer /v1/responses, streamed where the test is."""
    parameters = getattr(request.node, "callspec", None)
    streamed = bool(parameters and parameters.params.get("streamed"))
    value = response_object(usage=RESPONSE_USAGE)
    events = (typed("response.created", response=value), typed("response.completed", response=value))
    if parameters is None or parameters.params.get("path") != CHAT:
        for upstream in (gateway.student, gateway.teacher):
            upstream.default(*(stream(*events) if streamed else answer(value)))


def ask(gateway: Gateway, model: str, items: list[Any], streamed: bool = False, **fields: Any) -> Response:
    body = {"model": model, "input": items, "stream": streamed, **fields}
    return gateway.post(body, path=RESPONSES)


def first() -> dict[str, Any]:
    return user(f"first {time.time_ns()}")


def received(upstream: ScriptedUpstream) -> list[Any]:
    return list(upstream.last.json["input"])


@STREAMED
@pytest.mark.parametrize("thought", [SECRET, NAMED])
def test_the_student_does_not_get_reasoning_that_it_cannot_read(
    gateway: Gateway, thought: dict[str, Any], streamed: bool
) -> None:
    turns = [first(), thought, output(), READABLE, output(), user("next")]
    response = ask(gateway, STUDENT, turns, streamed)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "student")
    assert received(gateway.student) == [turns[0], output(), READABLE, output(), turns[-1]]
    # What stays is as it was sent.
    assert b'"weight":1.0' in gateway.student.last.body.replace(b" ", b"")


@STREAMED
@pytest.mark.parametrize("thought", [SECRET, NAMED])
def test_the_teacher_gets_its_own_reasoning_and_not_the_students(
    gateway: Gateway, thought: dict[str, Any], streamed: bool
) -> None:
    turns = [first(), thought, output(), user("second"), READABLE, output(), user("next")]
    response = ask(gateway, TEACHER, turns, streamed)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "teacher")
    assert received(gateway.teacher) == [one for one in turns if one is not READABLE]


@STREAMED
def test_the_teacher_does_not_get_the_reasoning_of_a_student_that_has_answered(
    gateway: Gateway, streamed: bool
) -> None:
    turns = [first()]
    assert ask(gateway, STUDENT, turns, streamed).headers["x-breakeven-route"] == "student"
    turns += [READABLE, output(), user("next")]
    response = ask(gateway, TEACHER, turns, streamed)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "teacher")
    assert received(gateway.teacher) == [turns[0], output(), turns[-1]]


@STREAMED
def test_a_teacher_that_thinks_aloud_gets_what_it_thought(gateway: Gateway, streamed: bool) -> None:
    turns = [first()]
    assert ask(gateway, TEACHER, turns, streamed).headers["x-breakeven-route"] == "teacher"
    turns += [READABLE, output(), user("next")]
    assert ask(gateway, TEACHER, turns, streamed).headers["x-breakeven-reason"] == "sticky"
    assert received(gateway.teacher) == turns


@STREAMED
@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize(("model", "route"), [(TEACHER, "teacher"), (STUDENT, "student"), ("teacher", "teacher")])
def test_refused_reasoning_is_left_out_and_asked_again(
    gateway: Gateway, model: str, route: str, status: int, streamed: bool
) -> None:
    upstream = gateway.teacher if route == "teacher" else gateway.student
    upstream.script(*error_answer(status, "Item with id 'rs_3' not found."))
    call = {"type": "function_call", "id": "fc_1", "call_id": "1", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "1", "output": "42"}
    turns = [first(), READABLE, call, result, READABLE, output(), user("next")]
    response = ask(gateway, model, turns, streamed)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, route)
    assert response.headers["x-breakeven-attempts"] == "2"
    assert response.headers["x-breakeven-reason"] != "fallback"
    plain = [one for one in turns if one is not READABLE]
    if route == "teacher":
        # Ids may name what the student has.
        plain = [{name: value for name, value in one.items() if name != "id"} for one in plain]
    assert received(upstream) == plain


@pytest.mark.parametrize("error", [{"code": "invalid_encrypted_content"}, {"type": "invalid_request_error"}], ids=str)
@pytest.mark.parametrize("how", ["event", "failed response", "whole answer"])
def test_a_refusal_that_comes_with_success_is_one_too(gateway: Gateway, how: str, error: dict[str, Any]) -> None:
    error = {"message": "The encrypted content could not be verified.", **error}
    begun = typed("response.created", response=response_object())
    refused = {
        "event": stream(begun, typed("error", error=error)),
        "failed response": stream(
            begun, typed("response.failed", response=response_object(status="failed", error=error))
        ),
        "whole answer": answer({"error": error}),
    }
    gateway.teacher.script(*refused[how])
    streamed = how != "whole answer"
    value = response_object(usage=RESPONSE_USAGE)
    gateway.teacher.default(*(stream(typed("response.completed", response=value)) if streamed else answer(value)))
    response = ask(gateway, "teacher", [first(), SECRET, output(), user("next")], streamed)
    assert (response.status, response.headers["x-breakeven-attempts"]) == (200, "2")
    assert SECRET not in received(gateway.teacher)
    # A wrong request is the client's, and is not asked again elsewhere.
    gateway.student.script(*refused[how])
    response = ask(gateway, STUDENT, [first()], streamed)
    assert (response.status, response.headers["x-breakeven-attempts"]) == (400, "1")


@STREAMED
def test_two_refusals_give_the_first_one(gateway: Gateway, streamed: bool) -> None:
    gateway.teacher.default(*error_answer(400, "again"))
    gateway.teacher.script(*error_answer(404, "Item with id 'rs_3' not found."))
    response = ask(gateway, "teacher", [first(), READABLE, output(), user("next")], streamed)
    assert (response.status, response.error["message"]) == (404, "Item with id 'rs_3' not found.")
    assert len(gateway.teacher.received) == 2


@STREAMED
def test_a_request_without_anything_foreign_is_refused_once(gateway: Gateway, streamed: bool) -> None:
    gateway.student.default(*error_answer(400, "bad"))
    response = ask(gateway, STUDENT, [first(), output(), user("next")], streamed)
    assert (response.status, response.error["message"]) == (400, "bad")
    assert len(gateway.student.received) == 1
    assert not gateway.teacher.received


@STREAMED
@pytest.mark.parametrize("items", [[REFERENCE], SHELL], ids=["reference", "shell"])
@pytest.mark.parametrize("status", [400, 404])
def test_what_the_teacher_does_not_have_is_looked_for_at_the_student(
    gateway: Gateway, items: list[dict[str, Any]], status: int, streamed: bool
) -> None:
    gateway.teacher.default(*error_answer(status, "Item not found."))
    turns = [first(), *items, user("next")]
    response = ask(gateway, STUDENT, turns, streamed)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "student")
    assert received(gateway.student) == turns


@STREAMED
@pytest.mark.parametrize("items", [[REFERENCE], SHELL], ids=["reference", "shell"])
@pytest.mark.parametrize("status", [429, 503])
def test_what_the_teacher_has_stays_with_it_when_it_fails(
    gateway: Gateway, items: list[dict[str, Any]], status: int, streamed: bool
) -> None:
    gateway.teacher.default(*error_answer(status, "later", retry_after="9"))
    response = ask(gateway, STUDENT, [first(), *items, user("next")], streamed)
    assert (response.status, response.headers["retry-after"]) == (status, "9")
    assert not gateway.student.received


@STREAMED
@pytest.mark.parametrize("status", [400, 404])
def test_a_tool_that_the_students_server_does_not_know_is_the_teachers(
    gateway: Gateway, status: int, streamed: bool
) -> None:
    gateway.student.default(*error_answer(status, "unknown tool type"))
    tools = [{"type": "custom", "name": "apply_patch"}]
    response = ask(gateway, STUDENT, [first()], streamed, tools=tools)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "teacher")


@STREAMED
@pytest.mark.parametrize("second", [400, 404, 429, 503])
def test_a_previous_response_that_nobody_answers(gateway: Gateway, second: int, streamed: bool) -> None:
    def continued(model: str) -> Response:
        return ask(gateway, model, [first()], streamed, previous_response_id=f"resp_unknown_{time.time_ns()}")

    # A 429 or an outage of the other upstream is worth a retry; its own 404 is not.
    gateway.student.default(*error_answer(404, "not here"))
    gateway.teacher.default(*error_answer(second, "later"))
    assert continued(STUDENT).status == (second if second in (429, 503) else 404)
    # The teacher's 429 stays one, whatever the student says.
    gateway.teacher.default(*error_answer(429, "slow down", retry_after="9"))
    gateway.student.default(*error_answer(second, "not here"))
    response = continued(TEACHER)
    assert (response.status, response.headers["retry-after"]) == (429, "9")


@STREAMED
def test_without_fallback_the_other_upstream_is_not_asked(gateway: Gateway, streamed: bool) -> None:
    gateway.student.default(*error_answer(404, "not here"))
    body = {"model": STUDENT, "input": "x", "stream": streamed, "previous_response_id": "resp_none"}
    response = gateway.post(body, {"x-breakeven-fallback": "false"}, RESPONSES)
    assert response.status == 404
    assert not gateway.teacher.received


@STREAMED
def test_a_fallback_leaves_out_what_the_other_upstream_cannot_read(gateway: Gateway, streamed: bool) -> None:
    gateway.teacher.script(*error_answer(429))
    turns = [first(), SECRET, output(), user("next")]
    response = ask(gateway, TEACHER, turns, streamed)
    assert (response.status, response.headers["x-breakeven-reason"]) == (200, "fallback")
    assert received(gateway.student) == [turns[0], output(), turns[-1]]


@STREAMED
@pytest.mark.parametrize("path", [CHAT])
@pytest.mark.parametrize(("model", "route"), [(TEACHER, "teacher"), (STUDENT, "student")])
def test_refused_thoughts_of_a_chat_are_left_out_and_asked_again(
    gateway: Gateway, path: str, model: str, route: str, streamed: bool
) -> None:
    upstream = gateway.teacher if route == "teacher" else gateway.student
    upstream.script(*error_answer(400, "messages[1]: unknown field"))
    thinking = [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": "b"}]
    thoughts = {"reasoning_content": "Hm.", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}
    said = {"role": "assistant", "content": "a", "weight": 1.0}
    turns = [first(), said | thoughts, user("b"), {"role": "assistant", "content": thinking}, user("c")]
    response = gateway.post({"model": model, "messages": turns, "stream": streamed}, path=path)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, route)
    assert response.headers["x-breakeven-attempts"] == "2"
    seen = upstream.last.json["messages"]
    assert seen == [turns[0], said, turns[2], {"role": "assistant", "content": [thinking[1]]}, turns[4]]


@STREAMED
@pytest.mark.parametrize(
    "item",
    [
        REFERENCE,
        {"id": "msg_9"},
        {"type": None, "id": "msg_9"},
        {"type": "compaction", "encrypted_content": "gAAAA"},
        {"type": "compaction_summary", "encrypted_content": "gAAAA"},
    ],
)
def test_what_an_unknown_maker_stores_or_encrypted_goes_to_the_teacher(
    gateway: Gateway, item: dict[str, Any], streamed: bool
) -> None:
    response = ask(gateway, STUDENT, [first(), item, {"role": "user", "content": "and?"}], streamed)
    assert response.headers["x-breakeven-route"] == "teacher"
    assert gateway.teacher.last.json["input"][1] == item


@STREAMED
@pytest.mark.parametrize("path", [CHAT])
def test_a_teachers_429_stays_a_429(gateway: Gateway, path: str, streamed: bool) -> None:
    gateway.teacher.default(*error_answer(429, "slow down", retry_after="9"))
    body = {"model": TEACHER, "messages": [first()], "stream": streamed}
    for status in (400, 404, 500, 503):
        gateway.student.script(*error_answer(status))
        response = gateway.post(body, path=path)
        assert (response.status, response.headers["retry-after"]) == (429, "9")
    gateway.student.script(*answer(completion()))
    assert gateway.post(body | {"stream": False}, path=path).status == 200
