"""Answers of chat servers in other spellings than OpenAI's lose nothing where they are translated for /v1/messages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.anthropic_like import MESSAGES, asked, assembled, events
from tests.contract.gateway import Gateway
from tests.contract.scripted import (
    DONE,
    ScriptedUpstream,
    answer,
    completion,
    delta,
    event,
    stream,
    usage_chunk,
)

CONFIG: dict[str, Any] = {"student": {"messages": "translate"}}
TEXT = {"type": "text", "text": "hello"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": ""}
CALL = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": [1, "é"]}}


def call(arguments: object) -> dict[str, Any]:
    return {"content": None, "tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": arguments}}]}


# What the server says -> the blocks that the client gets where it asks to see what the model thinks.
SAID: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "parts": ({"content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}, [TEXT]),
    "parts with thoughts": (
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, TEXT]},
        [THOUGHT, TEXT],
    ),
    "thoughts as a text in parts": ({"content": [{"type": "thinking", "thinking": "Hm."}, TEXT]}, [THOUGHT, TEXT]),
    "parts of no known kind": ({"content": [{"type": "x"}, 7, TEXT, {"type": "text", "text": None}]}, [TEXT]),
    "arguments as an object": (call({"x": [1, "é"]}), [CALL]),
    "arguments as text": (call('{"x":[1,"é"]}'), [CALL]),
    "no arguments": (call({}), [{**CALL, "input": {}}]),
}


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", SAID)
def test_nothing_of_the_answer_is_lost(
    gateway: Gateway, student: ScriptedUpstream, name: str, streamed: bool, thinking: bool
) -> None:
    said, blocks = SAID[name]
    finish = "tool_calls" if "tool_calls" in said else "stop"
    if streamed:
        pieces = ({"delta": said}, {"delta": {}, "finish_reason": finish})
        student.script(*stream(*(event({"choices": [{"index": 0, **one}]}) for one in pieces), usage_chunk(), DONE))
    else:
        choice = {"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}
        student.script(*answer({**completion(), "choices": [choice]}))
    shown = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if thinking else {}
    response = gateway.post(asked(model="student", stream=streamed, **shown), path=MESSAGES)
    found = assembled(events(response.body)) if streamed else response.json
    assert found["content"] == [block for block in blocks if thinking or block["type"] != "thinking"]
    assert found["stop_reason"] == ("tool_use" if finish == "tool_calls" else "end_turn")


def piece(arguments: str, id: str | None = None, name: str | None = None, **index: int) -> dict[str, Any]:
    """A piece of a call, with only those fields that are given."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {**index, **({} if id is None else {"id": id, "type": "function"}), "function": function}


F, G = {**CALL, "input": {"x": 1}}, {**CALL, "id": "b", "name": "g", "input": {"y": 2}}
# How servers send the pieces of two calls, or of one, in a list for each event -> the calls that the client gets.
CALLED: dict[str, tuple[list[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "one index for both": ([[piece('{"x":1}', "a", "f", index=0)], [piece('{"y":2}', "b", "g", index=0)]], [F, G]),
    "one index, in one event": ([[piece('{"x":1}', "a", "f", index=0), piece('{"y":2}', "b", "g", index=0)]], [F, G]),
    "one index, in pieces": (
        [[piece("", "a", "f", index=0)], [piece('{"x":', index=0)], [piece("1}", index=0)],
         [piece("", "b", "g", index=0)], [piece('{"y":', index=0)], [piece("2}", index=0)]],
        [F, G],
    ),
    "no index, the id in each piece": (
        [[piece('{"x":', "a", "f")], [piece("1}", "a")], [piece('{"y":', "b", "g")], [piece("2}", "b")]],
        [F, G],
    ),
    "no index, id and name in each piece": ([[piece('{"x":', "a", "f")], [piece("1}", "a", "f")]], [F]),
    "index, id and name in each piece": (
        [[piece('{"x":', "a", "f", index=0)], [piece("1}", "a", "f", index=0)]],
        [F],
    ),
    "an empty id in later pieces": ([[piece('{"x":', "a", "f", index=0)], [piece("1}", "", "", index=0)]], [F]),
    "no index and no id": (
        [[piece('{"x":', None, "f")], [piece("1}")], [piece('{"y":2}', None, "g")]],
        [{**F, "id": "c1_call_0"}, {**G, "id": "c1_call_1"}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLED)
def test_every_piece_goes_to_its_call(gateway: Gateway, student: ScriptedUpstream, name: str) -> None:
    pieces, calls = CALLED[name]
    student.script(*stream(*(delta("", tool_calls=some) for some in pieces), delta("", finish="tool_calls"), DONE))
    response = gateway.post(asked(model="student", stream=True), path=MESSAGES)
    found = assembled(events(response.body))
    assert (found["content"], found["stop_reason"]) == (calls, "tool_use")


def test_calls_without_an_id_get_one_each(gateway: Gateway, student: ScriptedUpstream) -> None:
    calls = [piece('{"x":1}', None, "f"), piece('{"y":2}', "b", "g"), piece('{"y":2}', "", "g")]
    choice = {"index": 0, "message": {"role": "assistant", "tool_calls": calls}, "finish_reason": "tool_calls"}
    student.script(*answer({**completion(), "choices": [choice]}))
    found = gateway.post(asked(model="student"), path=MESSAGES).json["content"]
    assert found == [{**F, "id": "c1_call_0"}, G, {**G, "id": "c1_call_2"}]
