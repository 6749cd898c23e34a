"""A conversation of the Messages API whose last call another model made: the API that thinks refuses it at first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.anthropic_like import MESSAGES, asked, error_of, message, message_stream, refusal
from tests.contract.client import Response
from tests.contract.gateway import Gateway, running
from tests.contract.scripted import ScriptedUpstream, answer, error_answer

CONFIG: dict[str, Any] = {"routing": {"sticky": True, "threshold": 0.5}, "teacher": {"messages": "native"}}
DEMANDED = (
    "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is "
    "enabled, a final `assistant` message must start with a thinking block. To avoid this, disable `thinking`."
)
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "of another"}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "42"}]}
STREAMED = pytest.mark.parametrize("streamed", [False, True])
ENABLED = {"type": "enabled", "budget_tokens": 32}
CLEARED = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]}


def turns(*content: dict[str, Any], last: dict[str, Any] = RESULT) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [*content]}, last]


def send(gateway: Gateway, messages: list[dict[str, Any]], streamed: bool, **fields: Any) -> Response:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    body = asked(messages=messages, tools=tools, stream=streamed, **{"thinking": ENABLED, **fields})
    return gateway.post(body, path=MESSAGES)


@STREAMED
@pytest.mark.parametrize("content", [[USE], [THOUGHT, USE]], ids=["no thoughts", "foreign thoughts"])
@pytest.mark.parametrize("model", ["auto@1", "teacher"], ids=["fallback", "pinned"])
def test_thinking_that_the_api_would_need_the_call_for_is_not_asked_for_again(
    gateway: Gateway, model: str, content: list[dict[str, Any]], streamed: bool
) -> None:
    gateway.student.default(*error_answer(503))
    gateway.teacher.script(*refusal(400, DEMANDED))
    gateway.teacher.default(*(message_stream() if streamed else answer(message())))
    response = send(gateway, turns(*content), streamed, model=model, context_management=CLEARED)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "teacher")
    first, second = (one.json for one in gateway.teacher.received)
    assert (first["thinking"], first["context_management"]) == (ENABLED, CLEARED)
    assert "thinking" not in second
    assert second["context_management"] == {"edits": CLEARED["edits"][1:]}
    assert second["messages"] == turns(USE)


@STREAMED
@pytest.mark.parametrize(
    ("messages", "thinking"),
    [
        (turns({"type": "text", "text": "b"}, last={"role": "user", "content": "c"}), ENABLED),
        (turns(USE), {"type": "disabled"}),
        (turns(USE), {"type": "adaptive"}),
        (turns(USE), None),
    ],
)
def test_another_refusal_stays_one(
    gateway: Gateway, messages: list[dict[str, Any]], thinking: Any, streamed: bool
) -> None:
    gateway.teacher.default(*refusal(400, "max_tokens is wrong"))
    response = send(gateway, messages, streamed, model="teacher", thinking=thinking)
    assert (response.status, error_of(response)) == (400, "max_tokens is wrong")
    assert len(gateway.teacher.received) == 1


def test_two_refusals_give_the_first_one(gateway: Gateway) -> None:
    gateway.teacher.script(*refusal(400, DEMANDED))
    gateway.teacher.script(*refusal(400, "another"))
    response = send(gateway, turns(USE), streamed=False, model="teacher")
    assert (response.status, error_of(response)) == (400, DEMANDED)


def test_a_message_of_nothing_but_thoughts_is_left_out_as_a_whole(gateway: Gateway) -> None:
    gateway.teacher.script(*refusal(400, "Invalid `signature` in `thinking` block"))
    gateway.teacher.script(*answer(message()))
    last = {"role": "user", "content": "c"}
    assert send(gateway, turns(THOUGHT, last=last), streamed=False, model="teacher").status == 200
    # APIs refuse a message without content.
    assert gateway.teacher.last.json["messages"] == [{"role": "user", "content": "hi"}, last]


STORED = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
SENT = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A student that reads images, and whose server speaks the Messages API."""
    changes = {"student": {"modalities": ["text", "image"], "messages": "native"}, "teacher": {"messages": "native"}}
    with running(Path(tmp_path_factory.mktemp("seeing")), changes) as gateway:
        yield gateway


@STREAMED
@pytest.mark.parametrize(("image", "route", "reason"), [(STORED, "teacher", "sticky"), (SENT, "student", "easy")])
@pytest.mark.parametrize("within", [False, True], ids=["message", "result of a tool"])
def test_an_image_by_its_id_is_where_it_was_uploaded(
    seeing: Gateway, within: bool, image: dict[str, Any], route: str, reason: str, streamed: bool
) -> None:
    for upstream in (seeing.student, seeing.teacher):
        answering(upstream, streamed)
    result = {"role": "user", "content": [{**RESULT["content"][0], "content": [image]}]}
    messages = turns(USE, last=result) if within else [{"role": "user", "content": [image]}]
    response = send(seeing, messages, streamed, thinking=None)
    assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-reason"]) == (route, reason)


def answering(upstream: ScriptedUpstream, streamed: bool) -> None:
    upstream.default(*(message_stream() if streamed else answer(message())))
