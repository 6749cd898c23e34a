"""Attempts: timeouts, fallback, what both of them cost, clients that go, backpressure, concurrency."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import RawClient, Response, eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import (
    DONE,
    Close,
    End,
    ExpectDisconnect,
    Flood,
    Head,
    Raw,
    Reset,
    ScriptedUpstream,
    Send,
    Sleep,
    Step,
    answer,
    completion,
    delta,
    error_answer,
    event,
    stream,
    usage_chunk,
)

SSE = {"content-type": "text/event-stream"}
FINISH = delta("", finish="stop")


def fell_back(gateway: Gateway, response: Any) -> dict[str, Any]:
    assert response.status == 200
    assert response.headers["x-breakeven-route"] == "teacher"
    assert response.headers["x-breakeven-reason"] == "fallback"
    record = gateway.record(response)
    assert response.headers["x-breakeven-attempts"] == str(len(record["attempts"]))
    assert [a["upstream"] for a in record["attempts"]] in (["student", "teacher"], ["student", "student", "teacher"])
    return record


@pytest.mark.parametrize("stream_it", [False, True])
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_fallback_on_what_another_upstream_may_do_better(
    gateway: Gateway, student: ScriptedUpstream, status: int, stream_it: bool
) -> None:
    student.script(*error_answer(status))
    record = fell_back(gateway, gateway.post(chat(stream=stream_it)))
    assert [(a["upstream"], a["status"]) for a in record["attempts"]] == [("student", status), ("teacher", 200)]


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 2048 tokens. However, you requested 5000 tokens",
        "max_tokens=5000 cannot be greater than max_model_len=2048. Please request fewer output tokens.",
        "The decoder prompt (length 3000) is longer than the maximum model length of 2048.",
        "'max_tokens' or 'max_completion_tokens' is too large: 3000. This model's maximum context length is 2048",
        "Input length (3000) exceeds model's maximum context length (2048).",
        "max_tokens must be at least 1, got -5. The prompt is longer than the context window",
    ],
)
def test_fallback_on_context_overflow_in_its_several_wordings(
    gateway: Gateway, student: ScriptedUpstream, message: str
) -> None:
    student.script(*error_answer(400, message))
    fell_back(gateway, gateway.post(chat()))


def test_fallback_on_context_overflow_by_its_code(gateway: Gateway, student: ScriptedUpstream) -> None:
    fields = {"message": "too long", "type": "invalid_request_error", "param": "messages"}
    student.script(*answer({"error": {**fields, "code": "context_length_exceeded"}}, 400))
    fell_back(gateway, gateway.post(chat()))


@pytest.mark.parametrize(
    ("steps", "stream_it"),
    [
        *itertools.product([[Close()], [Reset()], [Raw(b"nonsense\r\n\r\n"), Close()]], [False, True]),
        # Only streamed: a whole answer may take until the total timeout, which is tested on its own.
        ([Sleep(3)], True),
    ],
)
def test_fallback_where_no_answer_comes(
    gateway: Gateway, student: ScriptedUpstream, steps: list[Step], stream_it: bool
) -> None:
    student.default(*steps)
    fell_back(gateway, gateway.post(chat(stream=stream_it)))


@pytest.mark.parametrize("end", [Close(), Reset()])
def test_an_idle_connection_that_its_server_closes_is_no_failure(
    gateway: Gateway, student: ScriptedUpstream, end: Step
) -> None:
    # The server does not announce it, so that requests meet connections that are just being closed.
    student.default(*answer(completion()), end)
    responses: list[Response] = []

    def press() -> None:
        responses.extend(gateway.post(chat()) for _ in range(40))

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [response.headers["x-breakeven-reason"] for response in responses] == ["easy"] * 240
    assert [response.status for response in responses] == [200] * 240
    # What was sent twice is in the ledger twice.
    assert sum(int(response.headers["x-breakeven-attempts"]) for response in responses) >= len(student.received)
    assert gateway.metric("circuit_open") == 0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"choices": [', b'{"error": {"message": "x"}}'])
def test_fallback_on_a_200_that_is_no_answer(gateway: Gateway, student: ScriptedUpstream, body: bytes) -> None:
    student.script(*answer(body))
    fell_back(gateway, gateway.post(chat()))


def test_fallback_on_an_answer_cut_short(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(Head(200, {"content-type": "application/json", "content-length": "500"}), Raw(b'{"a'), Close())
    fell_back(gateway, gateway.post(chat()))


def test_a_redirect_is_a_failure_and_not_followed(
    gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream
) -> None:
    student.script(*answer(b"", 307, location=f"{teacher.url}/elsewhere"))
    fell_back(gateway, gateway.post(chat()))
    assert [r.path for r in teacher.received] == ["/v1/chat/completions"]
    student.script(*answer(b"", 307, location=f"{teacher.url}/elsewhere"))
    response = gateway.post(chat(model="student"))
    assert response.status == 502
    assert "location" not in response.headers


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_no_fallback_on_other_4xx(gateway: Gateway, student: ScriptedUpstream, status: int) -> None:
    student.script(*error_answer(status, "your fault"))
    response = gateway.post(chat())
    assert response.status == status
    assert response.error["message"] == "your fault"
    assert len(gateway.record(response)["attempts"]) == 1


def test_fallback_happens_once(gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream) -> None:
    student.script(*error_answer(500))
    teacher.script(*error_answer(503, "teacher too"))
    response = gateway.post(chat())
    assert response.status == 503
    assert response.error["message"] == "teacher too"
    assert [a["status"] for a in gateway.record(response)["attempts"]] == [500, 503]


@pytest.mark.parametrize("value", ["false", "0", "no", "OFF"])
def test_fallback_is_off_by_header(gateway: Gateway, student: ScriptedUpstream, value: str) -> None:
    student.script(*error_answer(500, "down"))
    response = gateway.post(chat(), {"x-breakeven-fallback": value})
    assert response.status == 500
    assert len(gateway.record(response)["attempts"]) == 1


def test_a_pinned_request_does_not_fall_back(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(*error_answer(500))
    assert gateway.post(chat(model="student")).status == 500


def test_both_attempts_are_in_the_ledger_and_paid_for(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    teacher.script(*stream(delta(), event({"error": {"message": "died"}}), usage_chunk(), DONE))
    teacher.script(*error_answer(500))
    first = gateway.record(gateway.post(chat(model="teacher", stream=True)))
    assert first["attempts"][0]["cost"]["input"] > 0  # what was reported before the error is paid for
    response = gateway.post(chat(model="auto@0"))
    record = gateway.record(response)
    rows = gateway.rows(f"select number, upstream, output_tokens from attempts where request = '{record['id']}'")
    assert sorted(rows) == [(1, "teacher", 0), (2, "student", 3)]


@pytest.mark.parametrize("stream_it", [False, True])
def test_429_headers_of_the_upstream_reach_the_client(
    gateway: Gateway, student: ScriptedUpstream, stream_it: bool
) -> None:
    student.script(
        *error_answer(429, "slow", retry_after="7", x_ratelimit_remaining_tokens="0", x_internal="secret", server="x")
    )
    response = gateway.post(chat(model="student", stream=stream_it))
    assert response.status == 429
    assert response.headers["retry-after"] == "7"
    assert response.headers["x-ratelimit-remaining-tokens"] == "0"
    assert "x-internal" not in response.headers


def test_connect_timeout(tmp_path: Path) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        try:
            for _ in range(4):  # until the backlog is full and further handshakes are not answered
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", port))
                waiting.append(one)
            time.sleep(0.1)
            changes = {"student": {"base_url": f"http://127.0.0.1:{port}/v1", "timeouts": {"connect_seconds": 0.5}}}
            with running(tmp_path, changes) as blocked:
                started = time.monotonic()
                fell_back(blocked, blocked.post(chat()))
                assert 0.4 < time.monotonic() - started < 3.0
        finally:
            for one in waiting:
                one.close()


def test_connection_refused(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        changes = {"student": {"base_url": f"http://127.0.0.1:{unused.getsockname()[1]}/v1"}}
        with running(tmp_path, changes) as refused:
            fell_back(refused, refused.post(chat()))
            response = refused.post(chat(model="student"))
            assert response.status == 502
            assert response.error["code"] == "upstream_unreachable"
            assert "127.0.0.1" not in response.body.decode()


def test_first_event_timeout(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(Head(200, SSE), ExpectDisconnect(3))
    started = time.monotonic()
    response = gateway.post(chat(model="student", stream=True))
    assert response.status == 504
    assert response.error["code"] == "timeout"
    assert 1.4 < time.monotonic() - started < 3.0


def test_comments_before_the_first_event_are_life(gateway: Gateway, student: ScriptedUpstream) -> None:
    comments: list[Step] = [step for _ in range(5) for step in (Send(b": waiting\n\n"), Sleep(0.4))]
    student.script(Head(200, SSE), *comments, Send(delta() + FINISH + DONE), End())
    response = gateway.post(chat(stream=True))
    assert response.body == b": waiting\n\n" * 5 + delta() + FINISH + DONE


def test_slow_but_alive_is_not_cut_and_comments_count_as_life(gateway: Gateway, student: ScriptedUpstream) -> None:
    steps: list[Step] = [Head(200, SSE), Send(delta())]
    for part in (b": alive\n\n", delta("x"), b": alive\n\n", b": ", b"half\n\n"):
        steps += [Sleep(0.45), Send(part)]
    student.script(*steps, Send(FINISH + DONE), End())
    response = gateway.post(chat(stream=True))
    assert response.body == delta() + b": alive\n\n" + delta("x") + b": alive\n\n: half\n\n" + FINISH + DONE
    assert gateway.record(response)["outcome"] == "ok"


def test_a_stall_is_cut_at_the_idle_timeout(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(Head(200, SSE), Send(delta()), ExpectDisconnect(3))
    started = time.monotonic()
    response = gateway.post(chat(stream=True))
    assert response.last_error["code"] == "timeout"
    assert 0.9 < time.monotonic() - started < 2.5
    assert eventually(lambda: student.last.disconnected_after) < 3.0


def test_the_total_timeout_cuts_even_a_lively_stream(gateway: Gateway, student: ScriptedUpstream) -> None:
    steps: list[Step] = [step for _ in range(20) for step in (Send(delta()), Sleep(0.3))]
    student.script(Head(200, SSE), *steps, End())
    started = time.monotonic()
    response = gateway.post(chat(stream=True))
    assert response.last_error["code"] == "timeout"
    assert 3.8 < time.monotonic() - started < 6.0


def test_a_whole_answer_may_take_until_the_total_timeout(gateway: Gateway, student: ScriptedUpstream) -> None:
    student.script(Sleep(1.8), *answer(completion("slow")))
    assert gateway.post(chat()).headers["x-breakeven-route"] == "student"
    student.script(ExpectDisconnect(6))
    started = time.monotonic()
    response = gateway.post(chat(model="student"))
    assert response.status == 504
    assert 3.8 < time.monotonic() - started < 6.0


def test_a_whole_answer_that_stalls_in_the_middle_is_cut(gateway: Gateway, student: ScriptedUpstream) -> None:
    head = Head(200, {"content-type": "application/json", "content-length": "500"})
    student.script(head, Raw(b'{"a'), ExpectDisconnect(3))
    started = time.monotonic()
    assert gateway.post(chat(model="student")).status == 504
    assert time.monotonic() - started < 2.5


GONE: dict[str, tuple[bool, list[Step]]] = {
    "before the headers": (True, [ExpectDisconnect(5)]),
    "before the first token": (True, [Head(200, SSE), ExpectDisconnect(5)]),
    "in the middle": (True, [Head(200, SSE), Send(delta() + usage_chunk()), ExpectDisconnect(5)]),
    "in a whole answer": (False, [ExpectDisconnect(5)]),
}


@pytest.mark.parametrize("when", GONE)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_gone(gateway: Gateway, student: ScriptedUpstream, when: str, how: str) -> None:
    stream_it, steps = GONE[when]
    student.script(*steps)
    count = len(gateway.settled())
    with gateway.connect() as client:
        client.request("POST", "/v1/chat/completions", json.dumps(chat(stream=stream_it)).encode())
        student.wait_for(1)
        if when == "in the middle":
            _, headers = client.head()
            next(client.segments(headers))
        time.sleep(0.1)
        gone = time.monotonic()
        client.reset() if how == "reset" else client.socket.close()
    record = gateway.next_record(count)
    eventually(lambda: student.last.disconnected_after, 3)
    assert student.last.at + (student.last.disconnected_after or 9) - gone < 2.0
    assert record["outcome"] == "client_cancelled"
    assert record["attempts"][0]["outcome"] == "client_cancelled"
    assert record["attempts"][0]["usage"]["output"] == (3 if when == "in the middle" else 0)
    assert gateway.metric("in_flight") == 0


def test_client_gone_in_the_middle_of_its_body(gateway: Gateway, student: ScriptedUpstream) -> None:
    count = len(gateway.settled())
    with gateway.connect() as client:
        client.request("POST", "/v1/chat/completions", b'{"mess', {"content-length": "100"})
        time.sleep(0.1)
    record = gateway.next_record(count)
    assert (record["outcome"], record["attempts"]) == ("client_cancelled", [])
    assert not student.received


def test_a_client_that_stops_reading_slows_the_upstream_down(gateway: Gateway, student: ScriptedUpstream) -> None:
    offered = 200 << 20
    student.script(Head(200, SSE), Flood(delta("x" * 65000), offered), ExpectDisconnect(5))
    before = gateway.memory()
    with gateway.connect(receive_buffer=16384) as client:
        client.request("POST", "/v1/chat/completions", json.dumps(chat(stream=True)).encode())
        client.head()
        peak, stuck, sent = 0, 0, -1
        while stuck < 10:
            time.sleep(0.1)
            peak = max(peak, gateway.memory())
            stuck = stuck + 1 if student.last.sent == sent else 0
            sent = student.last.sent
        assert 0 < sent < offered / 4
        assert peak - before < 20e6
        client.reset()
    eventually(lambda: gateway.metric("in_flight") == 0)


def test_a_client_that_never_reads_again_is_cut_at_the_total_timeout(
    gateway: Gateway, student: ScriptedUpstream
) -> None:
    count = len(gateway.settled())
    student.script(Head(200, SSE), Flood(delta("x" * 65000), 200 << 20), ExpectDisconnect(5))
    with gateway.connect(receive_buffer=16384) as client:
        client.request("POST", "/v1/chat/completions", json.dumps(chat(stream=True)).encode())
        client.head()
        record = eventually(lambda: gateway.settled()[count:], 8)[0]
    assert record["outcome"] == "client_cancelled"
    assert 3.8 < record["seconds"] < 6
    eventually(lambda: student.last.disconnected_after)
    assert gateway.metric("in_flight") == 0


def test_500_streams_at_once_all_progress(tmp_path: Path) -> None:
    # All at once is the point here, not how fast one core brings up 500 connections.
    patient = {"connect_seconds": 20, "first_event_seconds": 20, "idle_seconds": 20, "total_seconds": 60}
    with running(tmp_path, {"student": {"max_concurrency": 500, "timeouts": patient}}) as gateway:
        gateway.student.default(
            Head(200, SSE), Send(delta("1")), Sleep(2.0), Send(FINISH + usage_chunk() + DONE), End()
        )
        _open_500(gateway)


def _open_500(gateway: Gateway) -> None:
    body = json.dumps(chat(stream=True)).encode()
    clients: list[RawClient] = []
    try:
        clients.extend(gateway.connect().request("POST", "/v1/chat/completions", body) for _ in range(500))
        for client in clients:
            status, headers = client.head()
            assert (status, headers["x-breakeven-route"]) == (200, "student")
        for client in clients:
            assert b"".join(client.segments({"transfer-encoding": "chunked"})).endswith(FINISH + DONE)
    finally:
        for client in clients:
            client.socket.close()
    assert len(gateway.student.received) == 500
