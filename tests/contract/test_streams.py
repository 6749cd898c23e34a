"""Streams over chat completions: as sent, counted, honest about their end."""

from __future__ import annotations

import itertools
import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import (
    DONE,
    USAGE,
    Close,
    End,
    ExpectDisconnect,
    Head,
    Raw,
    Reset,
    ScriptedUpstream,
    Send,
    Sleep,
    delta,
    error_answer,
    event,
    stream,
    usage_chunk,
)

SSE = {"content-type": "text/event-stream; charset=utf-8"}
FINISH = delta("", finish="stop")


def streamed(**fields: object) -> dict[str, object]:
    return chat(stream=True, **fields)


def used(record: dict[str, object]) -> dict[str, object]:
    """The usage of the last attempt."""
    attempts = record["attempts"]
    assert isinstance(attempts, list)
    return dict(attempts[-1]["usage"])


REPORTED = {"prompt": 10, "cached": 0, "output": 3, "complete": True}


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_multibyte_text_one_byte_per_segment_with_every_line_ending(
    gateway: Gateway, student: ScriptedUpstream, ending: bytes
) -> None:
    plain = delta("né 漢 🙂") + b": comment\n\n" + FINISH + usage_chunk() + DONE
    data = plain.replace(b"\\u", b"\\u").replace(b"\n", ending)
    student.script(*stream(*(data[i : i + 1] for i in range(len(data)))))
    response = gateway.post(streamed(stream_options={"include_usage": True}))
    assert response.body == data
    assert used(gateway.record(response)) == REPORTED


@pytest.mark.parametrize(
    "odd",
    [
        b"data:" + FINISH[6:].replace(b"stop", b"length"),
        b": a comment\n\n",
        b"data:\n\n",
        b"data\n\n",
        b"retry: 100\n\n",
        b"event: only\n\n",
        b"id: 7\nevent: message\ndata: {}\n\n",
        b'data: {"choices": [broken\n\n',
        b"data: [1,2]\n\n",
        b'data: "text"\n\n',
        b"\n",
    ],
)
def test_odd_events_go_through_as_sent(gateway: Gateway, student: ScriptedUpstream, odd: bytes) -> None:
    data = delta("a") + odd + delta("b") + FINISH
    student.script(*stream(data, usage_chunk(), DONE))
    response = gateway.post(streamed())
    assert response.body == data + DONE
    record = gateway.record(response)
    assert used(record) == REPORTED
    assert record["outcome"] == "ok"


def test_several_events_in_one_segment_and_one_event_of_2_mib(gateway: Gateway, student: ScriptedUpstream) -> None:
    big = delta("x" * (2 << 20))
    student.script(*stream(delta("a") + delta("b"), big, FINISH + usage_chunk() + DONE))
    response = gateway.post(streamed())
    assert response.body == delta("a") + delta("b") + big + FINISH + DONE
    assert used(gateway.record(response)) == REPORTED


def test_each_event_arrives_as_soon_as_it_is_complete(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*stream(delta("1"), delta("2"), delta("3"), FINISH, DONE, pause=0.3))
    with gateway.connect() as client:
        _, headers = client.request("POST", "/v1/chat/completions", json.dumps(streamed()).encode()).head()
        times = [time.monotonic() for _ in client.segments(headers)]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    # On a busy machine two may come close together; kept back until the end they all would.
    assert sum(gap > 0.1 for gap in gaps) >= 2, gaps


def test_reasoning_parallel_tool_calls_logprobs_and_unknown_keys_go_through_as_sent(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    call = {"index": 1, "id": "t", "function": {"name": "f", "arguments": '{"a":'}}
    events = [
        delta("", reasoning_content="hm", reasoning="hm"),
        delta("", tool_calls=[{**call, "index": 0}, call]),
        event({"choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": {"content": [{"logprob": -1e-7}]}}]}),
        b'data: {"choices": [ {"index":0, "delta":{"new":1.0,"big":123456789012345678901}, "finish_reason":null}]}\n\n',
        FINISH,
    ]
    student.script(*stream(*events, usage_chunk(), DONE))
    assert gateway.post(streamed()).body == b"".join(events) + DONE


PIECES = st.sampled_from(
    [
        delta("a"), delta("né 漢 🙂"), delta("", reasoning="hm"), b": comment\n\n", b"retry: 5\n\n", b"event: x\n\n",
        b"data:\n\n", b'data: {"choices": [broken\n\n', b"event: e\r\ndata: {}\r\n\r\n", b"data: 1\r\r", usage_chunk(),
        b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":null,"new":1.0}\n\n',
    ]
)  # fmt: skip


@settings(max_examples=1000 if os.environ.get("BREAKEVEN_CI") == "1" else 60, deadline=None, database=None)
@given(st.lists(PIECES, max_size=12), st.lists(st.integers(1, 800), max_size=6), st.booleans())
def test_whatever_comes_in_whatever_segments_goes_out_as_sent(
    shared_gateway: Gateway, pieces: list[bytes], cuts: list[int], wants_usage: bool
) -> None:
    sent = [delta("first"), *pieces, FINISH, usage_chunk(), DONE]
    data = b"".join(sent)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    shared_gateway.student.clear()
    shared_gateway.student.script(*stream(*(data[a:b] for a, b in itertools.pairwise(edges))))
    body = streamed(stream_options={"include_usage": wants_usage})
    kept = [piece for piece in sent if piece != usage_chunk()]
    expected = b"".join([*kept[:-1], *([usage_chunk()] if wants_usage else []), DONE])
    assert shared_gateway.post(body).body == expected


def test_usage_sent_twice_the_last_wins(gateway: Gateway, student: ScriptedUpstream) -> None:
    last = {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26}
    student.script(*stream(delta(), FINISH, usage_chunk(), usage_chunk(last), DONE))
    response = gateway.post(streamed(stream_options={"include_usage": True}))
    assert [json.loads(e[6:])["usage"] for e in response.events if b'"choices":[]' in e] == [last]
    assert used(gateway.record(response)) == {"prompt": 20, "cached": 0, "output": 6, "complete": True}


def test_usage_chunk_asked_for_comes_once_before_done(gateway: Gateway, student: ScriptedUpstream) -> None:
    response = gateway.post(streamed(stream_options={"include_usage": True}))
    assert response.events[-2:] == [usage_chunk(), DONE]
    assert response.body.count(b'"choices":[]') == 1


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": None, "other": 1.0}])
def test_usage_chunk_not_asked_for_is_counted_and_not_sent(
    gateway: Gateway, student: ScriptedUpstream, options: object
) -> None:
    body = streamed() if options is None else streamed(stream_options=options)
    response = gateway.post(body)
    assert response.events == [delta("he"), delta("llo"), FINISH, DONE]
    assert used(gateway.record(response)) == REPORTED
    assert student.last.json["stream_options"]["include_usage"] is True


def test_other_stream_options_survive_the_injection_as_sent(gateway: Gateway, student: ScriptedUpstream) -> None:
    options = b'{"x":1.0,"chunk":[1e-7, 12345678901234567890]}'
    body = b'{"model":"student","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":%b}'
    gateway.post(body % options)
    assert b'"stream_options":{"x":1.0,"chunk":[1e-7, 12345678901234567890],"include_usage":true}' in student.last.body
    asked = b'{ "include_usage" : true, "x" : 1.0 }'
    gateway.post(body % asked)
    assert asked in student.last.body


def test_no_injection_without_stream(gateway: Gateway, student: ScriptedUpstream) -> None:
    for fields in ({}, {"stream": False}, {"stream": None}):
        assert gateway.post(chat(**fields)).status == 200
        assert b"stream_options" not in student.last.body


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 5},
        {"prompt_tokens": "5", "completion_tokens": "2"},
        {"prompt_tokens": None, "completion_tokens": None, "prompt_tokens_details": None},
        {"prompt_tokens": -1, "completion_tokens": 2.5},
        [],
        "many",
    ],
)
def test_unusable_usage_is_no_error_and_is_counted_as_missing(
    gateway: Gateway, student: ScriptedUpstream, usage: object
) -> None:
    before = gateway.metric("usage_missing_total", upstream="student")
    chunk = event({"id": "c1", "choices": [], "usage": usage})
    student.script(*stream(delta(), FINISH, *([] if usage is None else [chunk]), DONE))
    response = gateway.post(streamed())
    assert response.body == delta() + FINISH + (b"" if isinstance(usage, dict | None) else chunk) + DONE
    record = gateway.record(response)
    assert record["outcome"] == "ok"
    assert used(record)["complete"] is False
    assert used(record)["output"] == 0
    assert gateway.metric("usage_missing_total", upstream="student") == before + 1


def test_null_details_are_complete_usage(gateway: Gateway, student: ScriptedUpstream) -> None:
    usage = {**USAGE, "prompt_tokens_details": None, "completion_tokens_details": None}
    student.script(*stream(delta(), FINISH, usage_chunk(usage), DONE))
    assert used(gateway.record(gateway.post(streamed()))) == REPORTED


@pytest.mark.parametrize("end", [[Reset()], [End()], [Close()], [Raw(b"zz\r\nnot a chunk"), Close()]])
def test_a_stream_cut_before_a_finish_ends_in_an_error_event(
    gateway: Gateway, student: ScriptedUpstream, end: list[object]
) -> None:
    student.script(Head(200, SSE), Send(delta("a")), Send(delta("b")), Sleep(0.1), *end)  # type: ignore[arg-type]
    response = gateway.post(streamed())
    assert response.status == 200
    assert response.events[:2] == [delta("a"), delta("b")]
    # A chunk that is none leaves the HTTP client waiting: the idle timeout ends that.
    assert response.last_error["type"] in ("upstream_error", "timeout_error")
    assert b'"finish_reason":"' not in response.body
    record = gateway.record(response)
    assert record["outcome"] == "truncated"
    assert len(record["attempts"]) == 1


def test_an_event_cut_in_the_middle_is_not_sent(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*stream(delta("a"), b'data: {"choices":[{"ind'))
    response = gateway.post(streamed())
    assert response.events[0] == delta("a")
    assert len(response.events) == 3
    assert response.last_error["code"] == "stream_truncated"


@pytest.mark.parametrize("rest", [b"da", b"event: x", b"id: 1\nevent", b"retry: 5", b"data", b"\xef\xbb"])
def test_an_event_cut_before_its_data_is_not_sent(gateway: Gateway, student: ScriptedUpstream, rest: bytes) -> None:
    student.script(*stream(delta("a"), FINISH, rest))
    assert gateway.post(streamed()).body == delta("a") + FINISH + DONE
    student.script(*stream(delta("a"), FINISH, b": a comment"))
    assert gateway.post(streamed()).body == delta("a") + FINISH + b": a comment\n\n" + DONE


@pytest.mark.parametrize("end", [[Reset()], [End()], [ExpectDisconnect()]])
def test_a_finish_without_done_is_complete_and_gets_one_done(
    gateway: Gateway, student: ScriptedUpstream, end: list[object]
) -> None:
    student.script(Head(200, SSE), Send(delta()), Send(FINISH + usage_chunk()), Sleep(0.1), *end)  # type: ignore[arg-type]
    response = gateway.post(streamed())
    assert response.body == delta() + FINISH + DONE
    record = gateway.record(response)
    assert record["outcome"] == "ok"
    assert used(record) == REPORTED


@pytest.mark.parametrize(("finished", "outcome"), [((0, 1), "ok"), ((1,), "truncated"), ((0,), "truncated")])
@pytest.mark.parametrize("done", [b"", DONE])
def test_with_n_2_complete_means_every_index_finished(
    gateway: Gateway, student: ScriptedUpstream, finished: tuple[int, ...], outcome: str, done: bytes
) -> None:
    finishes = b"".join(delta("", index, "stop") for index in finished)
    student.script(*stream(delta("a", 0) + delta("b", 1), finishes, *([done] if done else [])))
    response = gateway.post(streamed(n=2))
    assert gateway.record(response)["outcome"] == outcome
    assert (b'"error"' in response.body) == (outcome == "truncated")
    assert response.body.endswith(DONE)
    assert response.body.count(DONE) == 1


@pytest.mark.parametrize(
    "first",
    [
        event({"error": {"message": "no", "type": "x", "param": None, "code": 500}}),
        event({"object": "error", "message": "no", "code": 503}),
        b": ping\n\n" + event({"error": "no"}),
        b"",
        DONE,
        b": only a comment\n\n",
        usage_chunk(),
    ],
)
def test_an_error_first_or_no_event_at_all_falls_back(
    gateway: Gateway, student: ScriptedUpstream, first: bytes
) -> None:
    student.script(*stream(*([first] if first else [])))
    response = gateway.post(streamed())
    assert response.status == 200
    assert response.headers["x-breakeven-reason"] == "fallback"
    assert response.events == [delta("he"), delta("llo"), FINISH, DONE]
    assert [a["outcome"] for a in gateway.record(response)["attempts"]] == ["upstream_error", "ok"]


def test_an_error_first_without_fallback_is_a_real_status(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*stream(event({"error": {"message": "bad value", "type": "x", "param": "p", "code": 400}})))
    response = gateway.post(streamed(model="student"))
    assert response.status == 400
    assert response.error == {"message": "bad value", "type": "x", "param": "p", "code": "400"}


def test_a_stream_without_events_and_fallback_is_a_502(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*stream())
    response = gateway.post(streamed(model="student"))
    assert response.status == 502
    assert response.error["code"] == "empty_stream"


def test_an_error_event_in_the_middle_is_forwarded_as_sent_and_counted(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    error = b'data: {"error":{"message":"died", "extra":1.0,"code":500}}\n\n'
    before = gateway.metric("attempts_total", upstream="student", outcome="upstream_error")
    student.script(*stream(delta(), error, DONE))
    response = gateway.post(streamed())
    assert response.body == delta() + error + DONE
    assert gateway.record(response)["outcome"] == "upstream_error"
    assert gateway.metric("attempts_total", upstream="student", outcome="upstream_error") == before + 1


@pytest.mark.parametrize("status", [400, 404, 413, 422, 500])
def test_an_error_before_the_stream_is_an_http_error_with_a_json_body(
    gateway: Gateway, student: ScriptedUpstream, status: int
) -> None:
    student.script(*error_answer(status, "why not"))
    response = gateway.post(streamed(model="student"))
    assert response.status == status
    assert response.error["message"] == "why not"


def test_stream_headers_forbid_buffering(gateway: Gateway) -> None:
    headers = gateway.post(streamed()).headers
    assert headers["x-accel-buffering"] == "no"
    assert headers["cache-control"] == "no-cache"
    assert headers["content-type"].startswith("text/event-stream")


def test_never_two_streams_spliced(gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream) -> None:
    student.script(Head(200, SSE), Send(delta("from the student")), Sleep(0.1), Reset())
    response = gateway.post(streamed())
    assert response.last_error["code"] in ("upstream_disconnected", "stream_truncated")
    assert not teacher.received


def test_the_connection_is_used_again_after_a_stream(gateway: Gateway, student: ScriptedUpstream) -> None:
    gateway.post(streamed())
    before = student.accepted
    for _ in range(5):
        gateway.post(streamed())
    assert student.accepted <= before + 1
    eventually(lambda: gateway.metric("in_flight") == 0)


def test_a_finished_stream_gives_its_connection_back(gateway: Gateway, student: ScriptedUpstream) -> None:
    """Servers send the end of the body by itself, after `[DONE]`: not a reason to connect anew for each stream."""
    before = student.accepted
    for _ in range(4):
        student.script(*stream(delta("a"), delta("", finish="stop"), usage_chunk(), DONE)[:-1], Sleep(0.05), End())
        response = gateway.post(chat(stream=True))
        assert response.events[-1] == DONE
        time.sleep(0.2)
    assert student.accepted - before <= 1
