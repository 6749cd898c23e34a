"""POST /v1/messages at an upstream that speaks it: bytes unchanged, usage and money, errors in its shape."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.anthropic_like import (
    BLOCK,
    BLOCK_END,
    MESSAGES,
    PING,
    STARTED,
    STOP,
    USAGE,
    WHOLE_STREAM,
    asked,
    ended,
    error_of,
    events,
    message,
    message_stream,
    piece,
    refusal,
    typed,
)
from tests.contract.client import eventually
from tests.contract.gateway import Gateway, running
from tests.contract.scripted import Close, End, Head, ScriptedUpstream, Send, Sleep, answer, stream

CONFIG: dict[str, Any] = {
    "student": {"messages": "native"},
    "teacher": {"messages": "native", "usd_per_million": {"cache_write": 12.5, "cache_write_1h": 20}},
}
# 3 fresh, 100 read, 20 + 30 written, 7 output tokens at 10, 1, 12.5, 20 and 20 USD per million; in picodollars.
COST = 3 * 10_000_000 + 100 * 1_000_000 + 20 * 12_500_000 + 30 * 20_000_000 + 7 * 20_000_000
COUNTED = {"prompt": 153, "cached": 100, "cache_write": 50, "cache_write_1h": 30, "output": 7, "complete": True}


def paid(gateway: Gateway, response: Any) -> tuple[dict[str, Any], int]:
    """The usage and the cost of the last attempt of a response, as the log has them."""
    attempt = gateway.record(response)["attempts"][-1]
    return attempt["usage"], sum(attempt["cost"].values())


def test_body_and_answer_pass_unchanged_and_the_usage_is_paid_for(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    raw = json.dumps(message(), indent=1).encode()
    teacher.script(*answer(raw, request_id="req_7"))
    tools = '[{"name":"f","input_schema":{"type":"object","x":12345678901234567890}}]'
    body = (
        '{"model":"teacher","max_tokens":5,"tools":' + tools + ',"system":[{"type":"text","text":"s","cache_control":'
        '{"type":"ephemeral"}}],"messages":[{"role":"user","content":"hi"}],"temperature":1.0}'
    )
    response = gateway.post(body.encode(), path=MESSAGES)
    assert (response.status, response.body) == (200, raw)
    assert teacher.last.path == MESSAGES
    assert teacher.last.body == body.replace('"teacher"', '"big"').encode()
    assert response.headers["request-id"] == response.headers["x-breakeven-request-id"]
    assert response.headers["x-breakeven-upstream-request-id"] == "req_7"
    usage, cost = paid(gateway, response)
    assert usage == {**COUNTED, "service_tier": "standard"}
    assert cost == COST
    record = gateway.record(response)
    assert (record["endpoint"], record["route"], record["reason"]) == ("messages", "teacher", "pinned")
    columns = "endpoint, attempts.outcome, prompt_tokens, cached_tokens, cache_write_tokens, output_tokens"
    spent = "cost_input + cost_cached_input + cost_cache_write + cost_output"
    query = f"select {columns}, {spent} from requests join attempts on request = id where id = '{record['id']}'"
    assert eventually(lambda: gateway.rows(query)) == [("messages", "ok", 153, 100, 50, 7, COST)]


@pytest.mark.parametrize(
    "end",
    [
        {"output_tokens": 7},
        {"input_tokens": 3, "output_tokens": 7},
        {name: count for name, count in USAGE.items() if isinstance(count, int)},
    ],
)
def test_a_stream_passes_unchanged_and_its_usage_is_read_from_two_events(
    gateway: Gateway, teacher: ScriptedUpstream, end: dict[str, int]
) -> None:
    whole = (*WHOLE_STREAM[:-2], ended(**end), STOP)
    teacher.script(*message_stream(*whole))
    response = gateway.post(asked(model="teacher", stream=True), path=MESSAGES)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.body == b"".join(whole)
    assert "stream_options" not in teacher.last.json
    usage, cost = paid(gateway, response)
    assert usage == {**COUNTED, "service_tier": "standard"}
    assert cost == COST


def test_a_stream_is_read_alike_at_every_segmentation(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    data = b"".join(WHOLE_STREAM)
    cuts = range(1, len(data), 17)
    for cut in cuts:
        teacher.script(*stream(data[:cut], data[cut:]))
        response = gateway.post(asked(model="teacher", stream=True), path=MESSAGES)
        assert response.body == data
    eventually(lambda: sum(r["endpoint"] == "messages" and r["stream"] for r in gateway.settled()) >= len(cuts))
    streamed = [r for r in gateway.settled() if r["endpoint"] == "messages" and r["stream"]][-len(cuts) :]
    assert {(r["outcome"], r["attempts"][0]["usage"]["output"]) for r in streamed} == {("ok", 7)}


def test_byte_by_byte(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    data = b"".join(WHOLE_STREAM)
    teacher.script(*stream(*(data[i : i + 1] for i in range(len(data)))))
    response = gateway.post(asked(model="teacher", stream=True), path=MESSAGES)
    assert response.body == data
    assert paid(gateway, response)[1] == COST


def test_headers_of_the_api_are_passed_to_an_upstream_that_speaks_it(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    student.default(*answer(message()))
    teacher.default(*answer(message()))
    given = {"anthropic-version": "2026-01-01", "anthropic-beta": "a,b"}
    for upstream, model in ((student, "student"), (teacher, "teacher")):
        gateway.post(asked(model=model), given, MESSAGES)
        assert {name: upstream.last.headers[name] for name in given} == given
        gateway.post(asked(model=model), path=MESSAGES)
        assert upstream.last.headers["anthropic-version"] == "2023-06-01"
        assert "anthropic-beta" not in upstream.last.headers
    # Other endpoints know nothing of these.
    gateway.post({"model": "student", "messages": [{"role": "user", "content": "x"}]}, given)
    assert not set(given) & set(student.last.headers)


@pytest.mark.parametrize("spelling", ["/messages", "/v1/messages/", "//v1/messages", "/anthropic/v1/messages"])
def test_spellings_of_the_path(gateway: Gateway, teacher: ScriptedUpstream, spelling: str) -> None:
    teacher.script(*answer(message()))
    assert gateway.post(asked(model="teacher"), path=spelling).status == 200
    assert teacher.last.path == MESSAGES


def test_searches_of_the_provider_are_counted(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "server_tool_use": {"web_search_requests": 3}}
    teacher.script(*answer(message(usage=usage)))
    assert paid(gateway, gateway.post(asked(model="teacher"), path=MESSAGES))[0]["web_searches"] == 3
    ending = typed("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
    teacher.script(*message_stream(STARTED, BLOCK, piece("a"), BLOCK_END, ending, STOP))
    found, _ = paid(gateway, gateway.post(asked(model="teacher", stream=True), path=MESSAGES))
    # What the end names counts: 5 beside the 150 of the cache, which it does not name.
    assert (found["web_searches"], found["prompt"], found["output"]) == (3, 155, 2)


@pytest.mark.parametrize("preamble", [(), (STARTED,), (STARTED, PING, BLOCK)])
def test_a_stream_that_fails_before_its_answer_falls_back(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream, preamble: tuple[bytes, ...]
) -> None:
    broken = typed("error", error={"type": "overloaded_error", "message": "Overloaded"})
    student.script(Head(200, {"content-type": "text/event-stream"}), *map(Send, (*preamble, broken)), End())
    teacher.script(*message_stream())
    response = gateway.post(asked(stream=True), path=MESSAGES)
    assert response.headers["x-breakeven-reason"] == "fallback"
    assert response.body == b"".join(WHOLE_STREAM)


def test_a_stream_that_fails_before_its_answer_has_the_status_of_its_error(
    gateway: Gateway, teacher: ScriptedUpstream
) -> None:
    broken = typed("error", error={"type": "overloaded_error", "message": "Overloaded"})
    teacher.script(*message_stream(STARTED, PING, broken))
    response = gateway.post(asked(model="teacher", stream=True), path=MESSAGES)
    assert (response.status, error_of(response)) == (529, "Overloaded")


def test_an_error_after_the_first_byte_passes_as_it_came(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    broken = typed("error", error={"type": "overloaded_error", "message": "Overloaded"})
    teacher.script(*message_stream(STARTED, BLOCK, piece("a"), broken))
    response = gateway.post(asked(model="teacher", stream=True), path=MESSAGES)
    assert response.body == b"".join((STARTED, BLOCK, piece("a"), broken))
    assert gateway.record(response)["outcome"] == "upstream_error"


def test_a_stream_that_is_cut_off_ends_with_an_error_event(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    teacher.script(
        Head(200, {"content-type": "text/event-stream"}), Send(STARTED + BLOCK + piece("a b c")), Sleep(0.1), Close()
    )
    response = gateway.post(asked(model="teacher", stream=True), path=MESSAGES)
    *_, last = events(response.body)
    assert set(last) == {"type", "error"}
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert b"message_stop" not in response.body
    record = gateway.record(response)
    assert record["outcome"] == "truncated"
    # The prompt was reported when it began; of the answer only an estimate is known.
    (attempt,) = record["attempts"]
    assert (attempt["usage"]["prompt"], attempt["usage"]["output"], attempt["usage_missing"]) == (153, 0, True)
    assert attempt["estimated"]["output"] > 0


@pytest.mark.parametrize(
    "rest", [b"", b"event: messa", b"event: message_stop\n", b"event: message_stop\ndata: {", b"da"]
)
def test_a_stopped_message_without_message_stop_is_complete_and_gets_one(
    gateway: Gateway, teacher: ScriptedUpstream, rest: bytes
) -> None:
    sent = (STARTED, BLOCK, piece("a"), BLOCK_END, ended())
    teacher.script(Head(200, {"content-type": "text/event-stream"}), Send(b"".join(sent) + rest), End())
    response = gateway.post(asked(model="teacher", stream=True), path=MESSAGES)
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert response.body == b"".join(sent) + stop
    assert gateway.record(response)["outcome"] == "ok"


@pytest.mark.parametrize("reason", ["", "null", None])
def test_an_empty_stop_reason_stops_nothing(gateway: Gateway, teacher: ScriptedUpstream, reason: str | None) -> None:
    unstopped = typed("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 2})
    teacher.script(*message_stream(STARTED, BLOCK, piece("a"), unstopped))
    response = gateway.post(asked(model="teacher", stream=True), path=MESSAGES)
    assert events(response.body)[-1]["type"] == "error"
    assert gateway.record(response)["outcome"] == "truncated"
    teacher.script(*message_stream(STARTED, BLOCK, unstopped, piece("a"), BLOCK_END, ended(), STOP))
    response = gateway.post(asked(model="teacher", stream=True), path=MESSAGES)
    assert response.body.endswith(ended() + STOP)
    assert gateway.record(response)["outcome"] == "ok"


@pytest.mark.parametrize("status", [400, 404, 413, 429, 500, 503, 529])
def test_errors_of_the_upstream_keep_status_and_message(
    gateway: Gateway, teacher: ScriptedUpstream, status: int
) -> None:
    teacher.script(*refusal(status, "why not", retry_after="3"))
    response = gateway.post(asked(model="teacher"), path=MESSAGES)
    assert (response.status, error_of(response)) == (status, "why not")
    assert response.headers["retry-after"] == "3"


def test_a_wrong_key_of_the_gateway_is_not_the_clients(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    teacher.script(*refusal(401))
    response = gateway.post(asked(model="teacher"), path=MESSAGES)
    assert response.status == 502
    assert "credentials" in error_of(response)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "JSON"),
        ({"model": "auto", "max_tokens": 3}, 400, "'messages'"),
        (asked(messages=[3]), 400, "'messages[0]'"),
        (asked(model="nobody"), 404, "model"),
        (asked(model="auto@7"), 400, "threshold"),
        (asked("x" * 300_000), 413, "larger"),
    ],
)
def test_every_refusal_of_the_gateway_has_the_shape_of_this_api(
    small: Gateway, body: object, status: int, words: str
) -> None:
    key = {"x-api-key": "secret"}
    response = small.post(body, key, MESSAGES)
    assert response.status == status, response.body
    assert words in error_of(response)
    assert response.headers["request-id"] == response.headers["x-request-id"]


def test_refusals_for_keys_limits_methods_and_encodings(small: Gateway) -> None:
    for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}):
        assert "key" in error_of(small.post(asked(), headers, MESSAGES))
    assert error_of(small.get(MESSAGES)) == "Use POST here."
    encoded = small.post(asked(), {"x-api-key": "secret", "content-encoding": "x"}, MESSAGES)
    assert (encoded.status, "encoding" in error_of(encoded)) == (415, True)
    limited = {"x-api-key": "limited"}
    pinned = small.post(asked(model="teacher"), limited, MESSAGES)
    assert (pinned.status, "may not" in error_of(pinned)) == (403, True)
    small.student.default(*answer(message()))
    statuses = [small.post(asked(), limited, MESSAGES) for _ in range(3)]
    assert statuses[-1].status == 429
    error_of(statuses[-1])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    keys = [{"name": "a", "sha256": hashlib.sha256(b"secret").hexdigest()}]
    limited = {
        "name": "b",
        "sha256": hashlib.sha256(b"limited").hexdigest(),
        "requests_per_minute": 2,
        "may_pin": False,
    }
    changes = {**CONFIG, "server": {"max_body_bytes": 200_000}, "auth": {"keys": [*keys, limited]}}
    folder: Path = tmp_path_factory.mktemp("small")
    with running(folder, changes) as gateway:
        yield gateway
