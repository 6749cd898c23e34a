"""Reading answers and conversations: texts and calls of tools, from whole JSON and from events."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.gateway.wire.answers import Answer, Call, Whole, read_answer, read_whole, without_thought
from breakeven.gateway.wire.chat_text import flattened
from breakeven.gateway.wire.logprobs import first_logprobs
from tests.contract.compared import CALLS, ENDPOINTS, WITH_TOOLS
from tests.contract.scripted import DONE, completion, delta, event, usage_chunk

STREAM = delta("", role="assistant") + delta("Gr\u00fc") + delta("\u00dfe ") + delta("x", finish="stop") + DONE
BOTH = tuple(Call(one["name"], one["arguments"]) for one in CALLS)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_text_is_read_whole_and_streamed_without_reasoning(name: str) -> None:
    api = ENDPOINTS[name]
    assert read_answer(json.dumps(api.whole("Paris", ())).encode()) == Answer("Paris")
    assert read_answer(b"".join(api.streamed("Paris", ()))) == Answer("Paris")


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_the_reasoning_and_the_end_are_read_as_well(name: str) -> None:
    api = WITH_TOOLS[name]
    whole = read_whole(json.dumps(api.whole("Paris", ())).encode())
    assert whole is not None
    assert whole.answer == Answer("Paris")
    assert whole.reasoning in ("hm", "thinking about it")
    streamed = read_whole(b"".join(api.streamed("Paris", ())))
    assert streamed is not None
    assert streamed.finish == "stop"


@pytest.mark.parametrize(
    ("value", "reasoning", "finish"),
    [
        ({"choices": [{"message": {"content": "x"}, "finish_reason": "length"}]}, "", "length"),
        ({"choices": [{"message": {"content": "<think>hm</think>\n\nx"}, "finish_reason": "stop"}]}, "hm", "stop"),
        ({"choices": [{"message": {"content": "hm</think>x", "reasoning": None}}]}, "hm", ""),
        ({"choices": [{"message": {"content": "x", "reasoning": "hm"}}]}, "hm", ""),
        ({"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": "max_tokens"}, "", "length"),
        (
            {"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": "refusal"},
            "",
            "content_filter",
        ),
        (
            {
                "output": [{"type": "message", "content": [{"type": "output_text", "text": "x"}]}],
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
            },
            "",
            "length",
        ),
        (
            {
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "content": None},
                    {"type": "message", "content": [{"type": "output_text", "text": "x"}]},
                ],
                "status": "completed",
            },
            "hm",
            "stop",
        ),
    ],
)
def test_why_an_answer_ended_is_said_in_the_words_of_chat_completions(
    value: dict[str, object], reasoning: str, finish: str
) -> None:
    assert read_whole(json.dumps(value).encode()) == Whole(Answer("x"), reasoning, finish)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_calls_are_read_whole_and_streamed(name: str) -> None:
    api = WITH_TOOLS[name]
    for data in (json.dumps(api.whole("", CALLS)).encode(), b"".join(api.streamed("", CALLS))):
        found = read_answer(data)
        assert found is not None
        assert [(call.name, json.loads(call.arguments)) for call in found.calls] == [
            (call.name, json.loads(call.arguments)) for call in BOTH
        ]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b'{"choices": []}', DONE, usage_chunk(),
        json.dumps({"choices": [{"index": 0, "text": "a"}, {"index": 1, "text": "b"}]}).encode(),
        delta("a") + delta("b", index=1) + DONE,
    ],
)  # fmt: skip
def test_what_is_no_single_answer_gives_none(data: bytes) -> None:
    assert read_answer(data) is None


def test_an_answer_may_be_empty() -> None:
    whole = json.dumps({"choices": [{"message": {"content": None, "reasoning_content": "hm"}}]}).encode()
    for data in (whole, delta("", finish="length") + DONE):
        found = read_answer(data)
        assert found is not None
        assert found.empty


def test_calls_in_a_stream_without_numbers_begin_with_their_ids() -> None:
    pieces = ({"id": "1", "function": {"name": "f", "arguments": "{"}}, {"function": {"arguments": "}"}},
              {"id": "2", "function": {"name": "g", "arguments": "{}"}})  # fmt: skip
    found = read_answer(b"".join(delta("", tool_calls=[one]) for one in pieces))
    assert found == Answer("", (Call("f", "{}"), Call("g", "{}")))


def test_legacy_functions_custom_tools_and_other_calls() -> None:
    legacy = {"choices": [{"message": {"content": None, "function_call": {"name": "f", "arguments": "{}"}}}]}
    assert read_answer(json.dumps(legacy).encode()) == Answer("", (Call("f", "{}"),))
    custom = {"choices": [{"message": {"tool_calls": [{"custom": {"name": "g", "input": "x y"}}]}}]}
    assert read_answer(json.dumps(custom).encode()) == Answer("", (Call("g", "x y"),))
    shell = {"output": [{"type": "local_shell_call", "action": {"command": ["ls"]}}]}
    assert read_answer(json.dumps(shell).encode()) == Answer("", (Call("local_shell_call", '{"command":["ls"]}'),))


def test_a_response_whose_last_event_has_no_output_is_read_from_its_items() -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "hi"}]}
    done = event({"type": "response.output_item.done", "item": item})
    assert read_answer(done + event({"type": "response.completed", "response": {}})) == Answer("hi")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>a</think>\n\nb", "b"), (" <think>a", ""), ("a</think>b", "b"), ("a", "a"),
        ("say <think> and </think>", "say <think> and </think>"), ("<think>a</think>b</think>c", "b</think>c"),
    ],
)  # fmt: skip
def test_marked_reasoning_at_the_beginning_is_left_out(text: str, left: str) -> None:
    assert without_thought(text) == left


@given(st.binary(max_size=300))
def test_arbitrary_bytes_do_not_raise(data: bytes) -> None:
    for start in (b"", b"{", b"data: "):
        found = read_answer(start + data)
        assert found is None or isinstance(found.text, str)
        assert isinstance(first_logprobs(start + data, 3), list)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda of: (
        st.lists(of, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "delta", "content", "tool_calls", "function", "output", "type", "text"]
            ),
            of,
            max_size=4,
        )
    ),
)


@given(st.dictionaries(st.sampled_from(["choices", "output", "type", "content", "logprobs"]), JSON))
def test_arbitrary_json_does_not_raise(value: object) -> None:
    data = json.dumps(value).encode()
    for form in (data, b"data: " + data + b"\n\n"):
        read_answer(form)
        first_logprobs(form, 3)
    flattened([value])


def test_the_first_log_probabilities_of_whole_answers_and_streams() -> None:
    chat = {"choices": [{"message": {}, "logprobs": {"content": [{"logprob": -1}, {"logprob": -2.5}]}}]}
    text = {"choices": [{"text": "x", "logprobs": {"token_logprobs": [None, -1, -2.5, -3]}}]}
    for value in (chat, text):
        assert first_logprobs(json.dumps(value).encode(), 2) == [-1.0, -2.5]
        assert first_logprobs(event(value) * 2 + DONE, 3)[:2] == [-1.0, -2.5]
    assert first_logprobs(event(chat) * 2, 3) == [-1.0, -2.5, -1.0]
    assert first_logprobs(json.dumps(completion()).encode(), 3) == []


def test_a_conversation_as_roles_and_texts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "thinking", "thinking": "t"}, "b"]
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "output": "r"},
        {"role": "tool", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "q"}]}]},
        {"content": None},
        7,
    ]
    assert [(one["role"], one["content"]) for one in flattened(messages)] == [
        ("system", "s"), ("user", "a\n[image]\nb"), ("assistant", "[call: f {}]"), ("assistant", "[call: g {}]"),
        ("tool", "[result: r]"), ("tool", "[result: q]"), ("user", ""),
    ]  # fmt: skip


def test_a_stream_is_read_as_its_whole_text() -> None:
    assert read_answer(STREAM) == Answer("Gr\u00fc\u00dfe x")
