"""Translation for all JSON: requests are translated or refused, streams keep their order, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breakeven.gateway.accounting.usage import NO_USAGE, Usage, continued
from breakeven.gateway.endpoints.messages import Messages
from breakeven.gateway.errors import RequestError
from breakeven.gateway.translation.answer import message
from breakeven.gateway.translation.errors import error_body, with_status
from breakeven.gateway.translation.request import chat_request
from breakeven.gateway.translation.stream import MessageStream
from breakeven.gateway.wire.body import Body
from breakeven.gateway.wire.sse import Event, Scanner
from tests.contract.anthropic_like import assembled, events

USAGE = Usage(10, 4, 3, complete=True, cache_write=1)
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "text", "tool_use", "user", "x"])
NAMES = st.sampled_from(
    ["type", "text", "role", "content", "input", "id", "name", "source", "tool", "index", "function"]
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=8
)
FIELDS = st.sampled_from(
    ["messages", "system", "tools", "tool_choice", "thinking", "output_config", "mcp_servers", "container", "metadata"]
)
FAST = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@FAST
@given(st.dictionaries(FIELDS, JSON, max_size=5))
def test_any_request_is_translated_or_refused_and_read_by_the_router(fields: dict[str, Any]) -> None:
    body, adapter = Body(json.dumps(fields).encode()), Messages()
    adapter.conversation(body)
    translation = adapter.translation(body, native=False)
    assert translation is not None
    try:
        found = chat_request(body, top_k=True)
    except RequestError:
        return
    assert isinstance(json.loads(found.encode())["messages"], list)


@FAST
@given(st.lists(st.fixed_dictionaries({}, optional={"choices": JSON, "usage": JSON, "id": JSON}) | JSON, max_size=4))
def test_any_events_give_a_stream_in_order(values: list[Any]) -> None:
    stream = MessageStream(thinking=True)
    out = b"".join(stream.feed(Event(b"", json.dumps(value).encode(), None)) for value in values)
    whole = assembled(events(out + stream.end(USAGE)))
    assert whole["usage"]["input_tokens"] == 5
    for value in values:
        message(json.dumps(value).encode(), thinking=True)


def pieces(number: int) -> list[dict[str, Any]]:
    """A call whose arguments come in three pieces."""
    named = {"index": number, "id": f"c{number}", "function": {"name": "f", "arguments": ""}}
    parts = ['{"n":', f' "{number}', '"}']
    return [named, *({"index": number, "function": {"arguments": part}} for part in parts)]


@FAST
@given(st.permutations([0] * 4 + [1] * 4 + [2] * 4 + [3] * 2))
def test_calls_and_text_come_out_whole_in_whatever_order_their_pieces_come(order: list[int]) -> None:
    left = {number: iter(pieces(number)) for number in range(3)}
    stream, out = MessageStream(thinking=False), b""
    for number in order:
        delta = {"content": "a"} if number == 3 else {"tool_calls": [next(left[number])]}
        out += stream.feed(Event(b"", json.dumps({"choices": [{"delta": delta}]}).encode(), None))
    found = assembled(events(out + stream.end(NO_USAGE)))["content"]
    calls = {block["id"]: block["input"] for block in found if block["type"] == "tool_use"}
    assert calls == {f"c{number}": {"n": str(number)} for number in range(3)}
    assert "".join(block["text"] for block in found if block["type"] == "text") == "aa"


def test_what_was_thought_and_is_not_wanted_gives_a_ping_now_and_then() -> None:
    stream = MessageStream(thinking=False)
    chunk = Event(b"", b'{"choices":[{"delta":{"reasoning":"x"}}]}', None)
    found = events(b"".join(stream.feed(chunk) for _ in range(70)))
    assert [one["type"] for one in found] == ["message_start", "ping", "ping"]
    assert stream.feed(Scanner().feed(b": alive\n\n")[0]) == b": alive\n\n"


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ({"output_tokens": 7}, (153, 100, 50, 30, 7, True)),
        ({"output_tokens": 7, "input_tokens": None}, (153, 100, 50, 30, 7, True)),
        ({"output_tokens": 7, "input_tokens": 9}, (159, 100, 50, 30, 7, True)),
        ({"output_tokens": 7, "input_tokens": 9, "cache_read_input_tokens": 0}, (59, 0, 50, 30, 7, True)),
        ({"input_tokens": 9}, (159, 100, 50, 30, 0, False)),
        ({}, (153, 100, 50, 30, 0, False)),
    ],
)
def test_usage_that_comes_in_two_parts(rest: dict[str, Any], expected: tuple[Any, ...]) -> None:
    begun = Usage(153, 100, 0, complete=False, cache_write=50, cache_write_1h=30)
    found = continued(begun, rest)
    assert found is not None
    assert (
        found.prompt,
        found.cached,
        found.cache_write,
        found.cache_write_1h,
        found.output,
        found.complete,
    ) == expected
    alone = continued(NO_USAGE, {"output_tokens": 7})
    assert alone is not None
    assert (alone.prompt, alone.complete) == (0, False)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (422, "invalid_request_error"), (402, "billing_error"), (429, "rate_limit_error"),
     (500, "api_error"), (503, "api_error"), (529, "overloaded_error")],
)  # fmt: skip
def test_the_type_of_an_error_follows_from_its_status(status: int, kind: str) -> None:
    assert json.loads(error_body(status, "x")) == {"type": "error", "error": {"type": kind, "message": "x"}}
    assert with_status({"type": "overloaded_error"})["status"] == 529
    assert with_status({"type": ["x"]})["status"] == 502
    assert with_status("x") == "x"
