"""Ids of tool calls that another model wrote: an API that refuses them gets others, and the client an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract import anthropic_like as native
from tests.contract.gateway import Gateway
from tests.contract.scripted import ScriptedUpstream, Step, error_answer

CONFIG: dict[str, Any] = {"teacher": {"messages": "native"}, "student": {"messages": "native"}}
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", native.MESSAGES
# As vLLM writes them, with 46 characters, and Kimi's model; OpenAI takes 40, Anthropic no dots and colons.
VLLM, KIMI, GOOD = "chatcmpl-tool-" + "0" * 32, "functions.f:0", "call_1"
TOO_LONG = "Invalid 'messages[1].tool_calls[0].id': string too long. Expected a string with maximum length 40"
ASKED = {"role": "user", "content": "look"}


def chat(*ids: str) -> dict[str, Any]:
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}, "x": 1.0} for id in ids]
    results = [{"role": "tool", "tool_call_id": id, "content": id} for id in ids]
    return {"messages": [ASKED, {"role": "assistant", "content": None, "tool_calls": calls}, *results]}


def responses(*ids: str) -> dict[str, Any]:
    calls = [{"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"} for id in ids]
    results = [{"type": "function_call_output", "call_id": id, "output": id} for id in ids]
    return {"input": [ASKED, *calls, *results]}


def messages(*ids: str) -> dict[str, Any]:
    calls = [{"type": "tool_use", "id": id, "name": "f", "input": {"id": id}} for id in ids]
    results = [{"type": "tool_result", "tool_use_id": id, "content": id} for id in ids]
    turns = [ASKED, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    return {"max_tokens": 9, "messages": turns}


SAID = {CHAT: chat, RESPONSES: responses, MESSAGES: messages}


def refusal(path: str, status: int) -> list[Step]:
    return native.refusal(400, TOO_LONG) if path == MESSAGES else error_answer(status, TOO_LONG)


def ids(value: Any) -> list[str]:
    """The ids of calls in a body, in their order."""
    if isinstance(value, list):
        return [id for one in value for id in ids(one)]
    if not isinstance(value, dict):
        return []
    found = [value[name] for name in ("tool_call_id", "tool_use_id", "call_id") if name in value]
    if value.get("type") in ("function", "tool_use") and "id" in value:
        found.append(value["id"])
    return found + [id for name in ("messages", "input", "content", "tool_calls") for id in ids(value.get(name))]


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", ["auto@0", "teacher", "auto@1"])
@pytest.mark.parametrize("path", SAID)
def test_refused_ids_are_replaced_and_asked_again(
    gateway: Gateway, path: str, model: str, streamed: bool, status: int
) -> None:
    upstream: ScriptedUpstream = gateway.student if model == "auto@1" else gateway.teacher
    upstream.script(*refusal(path, status))
    if path == MESSAGES and streamed:
        upstream.script(*native.message_stream())
    body = {"model": model, "stream": streamed, **SAID[path](VLLM, GOOD, KIMI)}
    response = gateway.post(body, path=path)
    assert (response.status, response.headers["x-breakeven-attempts"]) == (200, "2")
    first, second = upstream.received
    assert ids(first.json) == [VLLM, GOOD, KIMI, VLLM, GOOD, KIMI]
    long, good, odd, *again = ids(second.json)
    assert [long, good, odd] == again
    assert good == GOOD
    assert len({long, good, odd}) == 3
    assert all(len(id) <= 40 and id.replace("_", "").isalnum() for id in (long, odd))
    # Nothing else is changed.
    restored = second.body.replace(long.encode(), VLLM.encode()).replace(odd.encode(), KIMI.encode())
    assert json.loads(restored) == first.json


@pytest.mark.parametrize("path", SAID)
def test_what_every_api_takes_is_not_asked_again(gateway: Gateway, path: str) -> None:
    gateway.teacher.script(*refusal(path, 400))
    response = gateway.post({"model": "teacher", **SAID[path](GOOD, "call_2")}, path=path)
    assert (response.status, len(gateway.teacher.received)) == (400, 1)


@pytest.mark.parametrize("path", SAID)
def test_an_api_that_takes_them_gets_them_as_they_are(gateway: Gateway, path: str) -> None:
    gateway.post({"model": "teacher", **SAID[path](VLLM, KIMI)}, path=path)
    assert ids(gateway.teacher.last.json) == [VLLM, KIMI, VLLM, KIMI]


@pytest.mark.parametrize("path", SAID)
def test_two_refusals_give_the_first_one(gateway: Gateway, path: str) -> None:
    for _ in range(2):
        gateway.teacher.script(*refusal(path, 400))
    response = gateway.post({"model": "teacher", **SAID[path](VLLM)}, path=path)
    assert (response.status, len(gateway.teacher.received)) == (400, 2)
    assert response.json["error"]["message"] == TOO_LONG
