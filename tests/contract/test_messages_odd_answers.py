"""Answers of chat servers in other spellings than OpenAI's lose nothing where they are translated for /v1/messages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.anthropic_like import MESSAGES, asked, assembled, events
from tests.contract.gateway import Gateway
from tests.contract.scripted import DONE, ScriptedUpstream, answer, completion, event, stream, usage_chunk

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
