"""POST /v1/messages at an upstream that speaks only chat completions: requests, answers and streams are translated."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.contract.anthropic_like import (
    BLOCK,
    MESSAGES,
    STARTED,
    asked,
    assembled,
    error_of,
    events,
    message_stream,
    piece,
    refusal,
)
from tests.contract.gateway import Gateway
from tests.contract.scripted import (
    DONE,
    Close,
    End,
    Head,
    ScriptedUpstream,
    Send,
    answer,
    completion,
    delta,
    error_answer,
    event,
    stream,
    usage_chunk,
)

# The student speaks chat completions, since nothing says that it is a vLLM; the teacher speaks both.
CONFIG: dict[str, Any] = {
    "student": {"modalities": ["text", "image", "file"]},
    "teacher": {"messages": "native"},
}
CHAT = "/v1/chat/completions"
CHAT_USAGE = {
    "prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59, "prompt_tokens_details": {"cached_tokens": 20},
}  # fmt: skip
COUNTS = {
    "input_tokens": 30, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20, "output_tokens": 9,
}  # fmt: skip
SCHEMA = {"type": "object", "properties": {"p": {"const": 1.0}}}
TOOL = {"name": "read", "description": "Reads.", "input_schema": SCHEMA}


def call(index: int, id: str | None = None, name: str | None = None, arguments: str | None = None) -> bytes:
    """A chunk with a piece of a tool call."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    one = {"index": index, "function": function, **({"id": id, "type": "function"} if id else {})}
    return delta("", tool_calls=[one])


def streamed(gateway: Gateway, *chunks: bytes, **fields: Any) -> dict[str, Any]:
    """The message that a stream of these chunks becomes."""
    gateway.student.script(*stream(*chunks, usage_chunk(CHAT_USAGE), DONE))
    response = gateway.post(asked(model="student", stream=True, **fields), path=MESSAGES)
    assert response.status == 200, response.body
    return assembled(events(response.body))


def test_a_request_is_said_in_chat_completions(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*answer(completion(usage=CHAT_USAGE)))
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}}, image]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "I will."},
                {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"p": 1}},
                {"type": "tool_use", "id": "toolu_2", "name": "read", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True, "content": [
                    {"type": "text", "text": "a"}, {"type": "text", "text": "b"}, image]},
                {"type": "text", "text": "and now?"},
            ],
        },
    ]  # fmt: skip
    system = [{"type": "text", "text": "x-anthropic-billing-header: cch=1"}, {"type": "text", "text": "Be brief."}]
    body = asked(
        model="student", system=system, messages=messages, tools=[TOOL], stop_sequences=["END"], temperature=1.0,
        top_p=0.5, top_k=7, metadata={"user_id": "u"}, thinking={"type": "enabled", "budget_tokens": 1024},
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    )  # fmt: skip
    response = gateway.post(body, {"anthropic-version": "2023-06-01"}, MESSAGES)
    assert response.status == 200, response.body
    assert student.last.path == CHAT
    assert "anthropic-version" not in student.last.headers
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    function = {"name": "read", "arguments": '{"p": 1}'}
    assert student.last.json == {
        "model": "small",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "look"}, url]},
            {"role": "assistant", "content": "I will.", "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": function},
                {"id": "toolu_2", "type": "function", "function": {"name": "read", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": "one"},
            {"role": "tool", "tool_call_id": "toolu_2", "content": "Error: a\n\nb"},
            {"role": "user", "content": [url, {"type": "text", "text": "and now?"}]},
        ],
        "max_tokens": 64, "stop": ["END"], "temperature": 1.0, "top_p": 0.5, "top_k": 7,
        "tools": [{"type": "function", "function": {
            "name": "read", "description": "Reads.", "parameters": SCHEMA}}],
        "tool_choice": "required", "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}},
    }  # fmt: skip
    # Numbers stay as they were written.
    assert b'{"const": 1.0}' in student.last.body


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "read"}, {"type": "function", "function": {"name": "read"}}),
    ],
)
def test_tool_choice(gateway: Gateway, student: ScriptedUpstream, choice: object, expected: object) -> None:
    gateway.post(asked(model="student", tools=[TOOL], tool_choice=choice), path=MESSAGES)
    assert student.last.json["tool_choice"] == expected
    assert "parallel_tool_calls" not in student.last.json


def test_an_answer_is_a_message_and_is_paid_for(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*answer(completion("hello", usage=CHAT_USAGE)))
    response = gateway.post(asked(), path=MESSAGES)
    assert response.json == {
        "id": "c1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": COUNTS,
    }  # fmt: skip
    record = gateway.record(response)
    assert (record["endpoint"], record["route"], record["outcome"]) == ("messages", "student", "ok")
    assert record["attempts"][0]["usage"] == {"prompt": 50, "cached": 20, "output": 9, "complete": True}


def choice(finish: str | None, **said: Any) -> dict[str, Any]:
    extra = {"stop_reason": said.pop("stop_reason")} if "stop_reason" in said else {}
    return {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish, **extra}


def tool_call(arguments: str) -> list[dict[str, Any]]:
    return [{"id": "call_1", "type": "function", "function": {"name": "read", "arguments": arguments}}]


USE = {"type": "tool_use", "id": "call_1", "name": "read"}
CUT = {"INVALID_JSON": '{"p'}


@pytest.mark.parametrize(
    ("one", "stop", "content"),
    [
        (choice("stop", content="a"), ("end_turn", None), [{"type": "text", "text": "a"}]),
        (choice("stop", content="a", stop_reason="END"), ("stop_sequence", "END"), [{"type": "text", "text": "a"}]),
        (choice("stop", content="a", stop_reason=128009), ("end_turn", None), [{"type": "text", "text": "a"}]),
        (choice("length", content="a"), ("max_tokens", None), [{"type": "text", "text": "a"}]),
        (choice("content_filter", content=""), ("refusal", None), []),
        (choice("stop", content=None, refusal="I won't."), ("refusal", None), [{"type": "text", "text": "I won't."}]),
        (choice("tool_calls", tool_calls=tool_call('{"p": 1.0}')), ("tool_use", None), [{**USE, "input": {"p": 1.0}}]),
        (choice("stop", content=None, tool_calls=tool_call("")), ("tool_use", None), [{**USE, "input": {}}]),
        (choice("length", tool_calls=tool_call('{"p')), ("max_tokens", None), [{**USE, "input": CUT}]),
        (choice("stop", content="a", reasoning_content="hm"), ("end_turn", None), [{"type": "text", "text": "a"}]),
    ],
)  # fmt: skip
def test_stop_reasons_and_blocks(
    gateway: Gateway, student: ScriptedUpstream, one: object, stop: tuple[str, str | None], content: object
) -> None:
    student.script(*answer({**completion(), "choices": [one]}))
    found = gateway.post(asked(model="student"), path=MESSAGES).json
    assert (found["stop_reason"], found["stop_sequence"]) == stop
    assert found["content"] == content


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_thinking_where_the_client_asked_for_it(
    gateway: Gateway, student: ScriptedUpstream, name: str
) -> None:
    student.script(*answer({**completion(), "choices": [choice("stop", content="a", **{name: "hm"})]}))
    thinking = {"thinking": {"type": "adaptive"}}
    found = gateway.post(asked(model="student", **thinking), path=MESSAGES).json
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    assert found["content"] == [thought, {"type": "text", "text": "a"}]
    chunks = (delta("", **{name: "h"}), delta("", **{name: "m"}), delta("a"), delta("", finish="stop"))
    assert streamed(gateway, *chunks, **thinking)["content"] == found["content"]
    assert streamed(gateway, *chunks)["content"] == [{"type": "text", "text": "a"}]
    hidden = {"thinking": {"type": "adaptive", "display": "omitted"}}
    assert streamed(gateway, *chunks, **hidden)["content"] == [{"type": "text", "text": "a"}]


TEXT = (delta("", role="assistant"), delta("he"), delta("llo"), delta("", finish="stop"))
TWO = [{**USE, "id": "c1", "input": {"p": 1}}, {**USE, "id": "c2", "input": {}}]
SEQUENTIAL = (
    call(0, "c1", "read", ""), call(0, arguments='{"p'), call(0, arguments='": 1}'), call(1, "c2", "read", "{}"),
    delta("", finish="tool_calls"),
)  # fmt: skip
# The second call begins, and ends, before the first one has all of its arguments; a text comes between them.
MIXED = (
    call(0, "c1", "read", '{"p'), call(1, "c2", "read", "{"), delta("late"), call(0, arguments='": 1'),
    call(1, arguments="}"), call(0, arguments="}"), delta("", finish="tool_calls"),
)  # fmt: skip
NAMELESS = (
    call(0, "c1"),
    call(0, arguments='{"p": 1}'),
    call(0, name="read"),
    call(1, "c2", "read"),
    delta("", finish="stop"),
)


def test_a_stream_of_text(gateway: Gateway) -> None:
    found = streamed(gateway, *TEXT)
    assert found == {
        "id": "c1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": COUNTS,
    }  # fmt: skip
    assert gateway.student.last.json["stream_options"] == {"include_usage": True}


def test_streams_of_parallel_calls(gateway: Gateway) -> None:
    for chunks in (SEQUENTIAL, NAMELESS):
        found = streamed(gateway, *chunks)
        assert (found["content"], found["stop_reason"]) == (TWO, "tool_use")
    text = [{"type": "text", "text": "I will."}, *TWO]
    assert streamed(gateway, delta("I "), delta("will."), *SEQUENTIAL)["content"] == text


def test_a_stream_whose_calls_are_mixed(gateway: Gateway) -> None:
    found = streamed(gateway, *MIXED)
    assert found["content"] == [*TWO, {"type": "text", "text": "late"}]


def test_every_order_of_the_pieces_of_three_calls_gives_the_same_calls(gateway: Gateway) -> None:
    pieces = {
        n: [call(n, f"c{n}", "read", '{"p'), call(n, arguments='":'), call(n, arguments=f" {n}}}")] for n in range(3)
    }
    expected = [{**USE, "id": f"c{n}", "input": {"p": n}} for n in range(3)]
    orders = sorted(set(itertools.permutations([0, 0, 0, 1, 1, 1, 2, 2, 2])))
    # The first pieces come in the order of the calls.
    orders = [order for order in orders if order.index(0) < order.index(1) < order.index(2)]
    for order in orders[::9]:
        left = {n: iter(its) for n, its in pieces.items()}
        found = streamed(gateway, *(next(left[n]) for n in order), delta("", finish="tool_calls"))
        assert found["content"] == expected


@pytest.mark.parametrize("chunks", [TEXT, SEQUENTIAL, MIXED], ids=["text", "calls", "mixed"])
def test_a_stream_is_translated_alike_byte_by_byte(gateway: Gateway, student: ScriptedUpstream, chunks: Any) -> None:
    whole = streamed(gateway, *chunks)
    data = b"".join((*chunks, usage_chunk(CHAT_USAGE), DONE)).replace(b"\n", b"\r\n")
    student.script(*stream(*(data[i : i + 1] for i in range(len(data)))))
    response = gateway.post(asked(model="student", stream=True), path=MESSAGES)
    assert assembled(events(response.body)) == whole
    assert gateway.record(response)["attempts"][0]["usage"]["output"] == 9


def test_a_stream_without_usage_or_end_marker(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*stream(delta("a"), delta("", finish="stop")))
    response = gateway.post(asked(model="student", stream=True), path=MESSAGES)
    found = assembled(events(response.body))
    assert (found["stop_reason"], found["usage"]["output_tokens"]) == ("end_turn", 0)
    assert gateway.record(response)["attempts"][0]["usage_missing"] is True


def test_errors_before_the_first_byte_fall_back_to_the_other_api(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    for steps in (error_answer(503), stream(delta("", role="assistant"), event({"error": {"message": "no"}}))):
        student.script(*steps)
        teacher.script(*message_stream())
        response = gateway.post(asked(stream=True), path=MESSAGES)
        assert (response.status, response.headers["x-breakeven-reason"]) == (200, "fallback")
        assert assembled(events(response.body))["content"] == [{"type": "text", "text": "hello"}]
        assert teacher.last.path == MESSAGES
    teacher.script(*refusal(529))
    response = gateway.post(asked(model="auto@0"), path=MESSAGES)
    assert (response.headers["x-breakeven-reason"], response.json["content"]) == (
        "fallback", [{"type": "text", "text": "hello"}],
    )  # fmt: skip


def test_errors_of_the_upstream_have_the_shape_of_this_api(gateway: Gateway, student: ScriptedUpstream) -> None:
    for status in (400, 404, 429, 500):
        student.script(*error_answer(status, "why not"))
        response = gateway.post(asked(model="student"), path=MESSAGES)
        assert (response.status, error_of(response)) == (status, "why not")
    student.script(*answer({"object": "list", "data": []}))
    assert gateway.post(asked(model="student"), path=MESSAGES).status == 502


def test_errors_after_the_first_byte(gateway: Gateway, student: ScriptedUpstream) -> None:
    begun = [Head(200, {"content-type": "text/event-stream"}), Send(delta("a"))]
    for steps in ((Send(event({"error": {"message": "no", "code": 529}})), Send(DONE), End()), (Close(),)):
        student.script(*begun, *steps)
        response = gateway.post(asked(model="student", stream=True), path=MESSAGES)
        found = events(response.body)
        assert [one["type"] for one in found].count("error") == 1
        assert found[-1]["type"] == "error"
        assert found[-1]["error"]["type"] == ("overloaded_error" if len(steps) > 1 else "api_error")
        assert b"message_stop" not in response.body
        assert b"[DONE]" not in response.body


def test_a_stream_that_was_cut_off_at_the_other_api_is_no_answer(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    teacher.script(*message_stream(STARTED, BLOCK, piece("a")))
    response = gateway.post(asked(model="teacher", stream=True), path=MESSAGES)
    assert events(response.body)[-1]["type"] == "error"
