"""Completions, responses, embeddings and models: the same path, a small adapter each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.client import Response, ask
from tests.contract.gateway import Gateway
from tests.contract.scripted import (
    DONE,
    Close,
    End,
    Head,
    Reset,
    ScriptedUpstream,
    Send,
    Sleep,
    Step,
    answer,
    error_answer,
    event,
    stream,
)

SSE = {"content-type": "text/event-stream"}
COMPLETIONS, RESPONSES, EMBEDDINGS = "/v1/completions", "/v1/responses", "/v1/embeddings"
REPORTED = {"prompt": 12, "cached": 4, "output": 5, "complete": True}


def text_chunk(text: str, finish: str | None = None, index: int = 0) -> bytes:
    return event(
        {"id": "t", "object": "text_completion", "choices": [{"index": index, "text": text, "finish_reason": finish}]}
    )


USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17, "prompt_tokens_details": {"cached_tokens": 4}}
TEXT_USAGE = event({"id": "t", "object": "text_completion", "choices": [], "usage": USAGE})


def used(gateway: Gateway, response: Response) -> Any:
    return gateway.record(response)["attempts"][-1]["usage"]


def test_completions_whole(gateway: Gateway, student: ScriptedUpstream) -> None:
    value = {
        "object": "text_completion",
        "choices": [{"index": 0, "text": "x", "finish_reason": "stop"}],
        "usage": USAGE,
    }
    student.script(*answer(value))
    response = gateway.post({"prompt": "hi", "max_tokens": 4}, path=COMPLETIONS)
    assert response.json == value
    assert used(gateway, response) == REPORTED
    assert student.last.path == COMPLETIONS
    assert student.last.json == {"prompt": "hi", "max_tokens": 4, "model": "small"}


def test_completions_stream_has_its_usage_injected_and_taken_out(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*stream(text_chunk("a"), text_chunk("", "length"), TEXT_USAGE, DONE))
    response = gateway.post({"prompt": "hi", "stream": True}, path=COMPLETIONS)
    assert response.body == text_chunk("a") + text_chunk("", "length") + DONE
    assert student.last.json["stream_options"] == {"include_usage": True}
    assert used(gateway, response) == REPORTED
    student.script(*stream(text_chunk("a", "stop"), TEXT_USAGE, DONE))
    response = gateway.post(
        {"prompt": "hi", "stream": True, "stream_options": {"include_usage": True}}, path=COMPLETIONS
    )
    assert response.events == [text_chunk("a", "stop"), TEXT_USAGE, DONE]


@pytest.mark.parametrize(("prompt", "choices"), [(["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), ("a", 1)])
def test_completions_of_several_prompts_are_complete_when_all_are(
    gateway: Gateway, student: ScriptedUpstream, prompt: object, choices: int
) -> None:
    chunks = [text_chunk("x", "stop", index) for index in range(choices)]
    student.script(*stream(*chunks))
    assert gateway.post({"prompt": prompt, "stream": True}, path=COMPLETIONS).body == b"".join(chunks) + DONE
    student.script(*stream(*chunks[:-1], text_chunk("cut", None, choices - 1)))
    body = {"prompt": prompt, "stream": True}
    assert gateway.post(body, path=COMPLETIONS).last_error["code"] == "stream_truncated"


@pytest.mark.parametrize("body", [{}, {"prompt": None}, {"prompt": 7}, {"prompt": {"a": 1}}])
def test_completions_without_a_prompt(gateway: Gateway, student: ScriptedUpstream, body: dict[str, object]) -> None:
    response = gateway.post(body, path=COMPLETIONS)
    assert (response.status, response.error["param"]) == (400, "prompt")
    assert not student.received


def typed(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\n".encode() + event({"type": kind, **fields})


def response_object(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "output": [], "usage": None, **fields}


RESPONSE_USAGE = {
    "input_tokens": 12,
    "output_tokens": 5,
    "total_tokens": 17,
    "input_tokens_details": {"cached_tokens": 4},
}
CREATED = typed("response.created", response=response_object("in_progress"), sequence_number=0)
DELTA = typed("response.output_text.delta", delta="né", sequence_number=1)


def ending(kind: str = "completed", **fields: Any) -> bytes:
    return typed(f"response.{kind}", response=response_object(kind, usage=RESPONSE_USAGE, **fields), sequence_number=2)


def test_responses_whole(gateway: Gateway, student: ScriptedUpstream) -> None:
    value = response_object(usage=RESPONSE_USAGE)
    student.script(*answer(value))
    body = {"model": "auto", "input": "hi", "max_output_tokens": 5, "store": False}
    response = gateway.post(body, path=RESPONSES)
    assert response.json == value
    assert used(gateway, response) == REPORTED
    assert student.last.json == {**body, "model": "small"}


@pytest.mark.parametrize("kind", ["completed", "incomplete"])
def test_responses_stream_of_typed_events_with_usage_at_the_end(
    gateway: Gateway, student: ScriptedUpstream, kind: str
) -> None:
    data = CREATED + DELTA + ending(kind)
    student.script(*stream(*(data[i : i + 7] for i in range(0, len(data), 7))))
    response = gateway.post({"input": "hi", "stream": True}, path=RESPONSES)
    assert response.body == data
    assert b"[DONE]" not in response.body
    assert "stream_options" not in student.last.json
    record = gateway.record(response)
    assert record["outcome"] == "ok"
    assert record["attempts"][0]["usage"] == REPORTED


def test_responses_stream_that_failed_is_forwarded_and_counted(gateway: Gateway, student: ScriptedUpstream) -> None:
    data = CREATED + DELTA + ending("failed", error={"code": "server_error", "message": "died"})
    student.script(*stream(data))
    response = gateway.post({"input": "hi", "stream": True}, path=RESPONSES)
    assert response.body == data
    record = gateway.record(response)
    assert record["outcome"] == "upstream_error"
    assert record["attempts"][0]["usage"] == REPORTED


def test_responses_error_event_first_falls_back(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    student.script(*stream(typed("error", code="server_error", message="no", param=None)))
    teacher.script(*stream(CREATED, DELTA, ending()))
    response = gateway.post({"input": "hi", "stream": True}, path=RESPONSES)
    assert response.headers["x-breakeven-reason"] == "fallback"
    assert response.body == CREATED + DELTA + ending()


@pytest.mark.parametrize("end", [[Reset()], [End()]])
def test_responses_stream_cut_short_ends_in_an_error_event(
    gateway: Gateway, student: ScriptedUpstream, end: list[Step]
) -> None:
    student.script(Head(200, SSE), Send(CREATED), Send(DELTA), Sleep(0.1), *end)
    response = gateway.post({"input": "hi", "stream": True}, path=RESPONSES)
    assert response.body.startswith(CREATED + DELTA + b"event: error\ndata: ")
    last = json.loads(response.body.rsplit(b"data: ", 1)[1])
    assert last["type"] == "error"
    assert last["message"] == last["error"]["message"]
    # Clients that check every event refuse one without a number.
    assert last["sequence_number"] == json.loads(DELTA.rsplit(b"data: ", 1)[1])["sequence_number"] + 1
    assert gateway.record(response)["outcome"] == "truncated"


@pytest.mark.parametrize("count", [10, 9000])
def test_the_error_event_of_a_response_has_the_number_after_those_that_were_sent(
    gateway: Gateway, student: ScriptedUpstream, count: int
) -> None:
    kind, text = "response.output_text.delta", '"sequence_number":99999'
    events = [typed(kind, delta=text, sequence_number=number) for number in range(count)]
    student.script(Head(200, SSE), *map(Send, events), Close())
    response = gateway.post({"input": "hi", "stream": True}, path=RESPONSES)
    assert json.loads(response.body.rsplit(b"data: ", 1)[1])["sequence_number"] == count


def test_the_error_event_of_a_response_without_numbers_has_one(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(Head(200, SSE), Send(typed("response.output_text.delta", delta="a")), Sleep(0.1), Reset())
    response = gateway.post({"input": "hi", "stream": True}, path=RESPONSES)
    assert json.loads(response.body.rsplit(b"data: ", 1)[1])["sequence_number"] == 0


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("first", ["student", "teacher"])
def test_previous_response_id_keeps_the_conversation_on_the_upstream_that_holds_it(
    gateway: Gateway, first: str, streamed: bool
) -> None:
    holder = gateway.student if first == "student" else gateway.teacher
    name = f"resp_{first}_{streamed}"
    value = response_object(usage=RESPONSE_USAGE) | {"id": name}
    if streamed:
        holder.script(*stream(typed("response.created", response=value), typed("response.completed", response=value)))
    else:
        holder.script(*answer(value))
    gateway.post({"model": first, "input": "hi", "stream": streamed}, path=RESPONSES)
    holder.script(*answer(value))
    # The threshold would send it the other way.
    model = "auto@0" if first == "student" else "auto@1"
    response = gateway.post({"model": model, "input": "and?", "previous_response_id": name}, path=RESPONSES)
    assert response.headers["x-breakeven-route"] == first
    assert response.headers["x-breakeven-reason"] == "sticky"
    holder.script(*error_answer(500))
    response = gateway.post({"model": model, "input": "and?", "previous_response_id": name}, path=RESPONSES)
    assert response.status == 500  # the other one does not know the conversation


def test_a_previous_response_of_another_process_is_looked_for_at_the_other_upstream(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    student.script(*error_answer(404, "Response with id 'resp_old' not found."))
    teacher.script(*answer(response_object(usage=RESPONSE_USAGE)))
    response = gateway.post({"input": "and?", "previous_response_id": "resp_old"}, path=RESPONSES)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "teacher")
    student.script(*error_answer(404, "not here"))
    teacher.script(*error_answer(404, "nor here"))
    assert gateway.post({"input": "and?", "previous_response_id": "resp_gone"}, path=RESPONSES).status == 404


@pytest.mark.parametrize(
    "given",
    [
        None, "", [], [{"role": "user", "content": None}],
        [{"type": "message"}], [{"type": "function_call_output", "output": 1}],
        [{"role": "developer", "content": [{"type": "input_text", "text": "x"}, {"type": 7}]}],
    ],
)  # fmt: skip
def test_responses_input_of_any_shape_goes_through(gateway: Gateway, student: ScriptedUpstream, given: object) -> None:
    student.script(*answer(response_object()))
    assert gateway.post({"input": given}, path=RESPONSES).status == 200
    assert student.last.json["input"] == given


@pytest.mark.parametrize("body", [{"input": 7}, {"input": ["x"]}, {"input": "x", "previous_response_id": 7}])
def test_responses_of_wrong_types(gateway: Gateway, student: ScriptedUpstream, body: dict[str, object]) -> None:
    assert gateway.post(body, path=RESPONSES).error["code"] == "invalid_type"
    assert not student.received


VECTORS = {
    "object": "list",
    "data": [{"index": 0, "embedding": [0.1]}],
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}


@pytest.mark.parametrize(("model", "route"), [("auto", "student"), ("student", "student"), ("teacher", "teacher")])
def test_embeddings_go_by_name(gateway: Gateway, model: str, route: str) -> None:
    upstream = gateway.student if route == "student" else gateway.teacher
    upstream.script(*answer(VECTORS))
    response = gateway.post({"model": model, "input": "hi", "stream": True}, path=EMBEDDINGS)
    assert response.json == VECTORS
    assert response.headers["x-breakeven-route"] == route
    assert used(gateway, response) == {"prompt": 2, "cached": 0, "output": 0, "complete": True}
    assert upstream.last.path == EMBEDDINGS


def test_embeddings_never_fall_back(gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream) -> None:
    student.script(*error_answer(500))
    assert gateway.post({"input": "hi"}, path=EMBEDDINGS).status == 500
    assert not teacher.received


@pytest.mark.parametrize("body", [{}, {"input": None}, {"input": 7}])
def test_embeddings_without_an_input(gateway: Gateway, body: dict[str, object]) -> None:
    assert gateway.post(body, path=EMBEDDINGS).error["param"] == "input"


def test_models(gateway: Gateway) -> None:
    listed = gateway.get("/v1/models").json
    assert [model["id"] for model in listed["data"]] == ["auto", "student", "teacher", "small", "big"]
    assert gateway.get("/v1/models/big").json["id"] == "big"
    assert gateway.get("/v1/models/nope").error["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("model", "route"), [("small", "student"), ("big", "teacher"), ("auto@0", "teacher"), (None, "student")]
)
def test_model_names(gateway: Gateway, model: str | None, route: str) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], **({"model": model} if model else {})}
    response = gateway.post(body)
    assert response.headers["x-breakeven-route"] == route
    assert response.json["model"] == "m"  # as the upstream wrote it


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", COMPLETIONS, RESPONSES, EMBEDDINGS])
def test_other_methods_are_405_in_json(gateway: Gateway, method: str, path: str) -> None:
    response = ask(gateway.port, path, method=method)
    assert response.status == 405
    assert response.headers["allow"] == "POST"
    if method != "HEAD":
        assert response.error["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/nope", "/v1/nope/", "/openai/v1", "/openai/deployments/x", "/chat", "/%00"]
)
def test_unknown_paths_are_404_in_json_without_redirects(gateway: Gateway, path: str) -> None:
    for method in ("GET", "POST", "HEAD", "OPTIONS"):
        response = ask(gateway.port, path, b"{}" if method == "POST" else None, method=method)
        assert response.status in (404, 405)
        if method != "HEAD":
            assert response.error["code"] in ("not_found", "method_not_allowed")
