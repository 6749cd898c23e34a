"""Failures of further models: each is an OpenAI error, has its cause, and touches neither student nor teacher."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.further import ADMIN, MODEL_KEY, form, model, with_models
from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import (
    DONE,
    Close,
    ExpectDisconnect,
    Head,
    Raw,
    Reset,
    ScriptedUpstream,
    Send,
    Sleep,
    answer,
    error_answer,
    event,
)
from tests.support.tls import unused_port

# A connection that closes before any byte of an answer is tried again.
BEGUN = Raw(b"HTTP/1.1 200 OK\r\n")
SOUND = Head(200, {"content-type": "audio/mpeg"})
RANK = {"model": "ranks", "query": "q", "documents": ["a"]}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, ScriptedUpstream]]:
    with with_models(tmp_path_factory.mktemp("failures"), {"server": {"max_body_bytes": 300_000}}) as found:
        yield found


@pytest.fixture
def gateway(both: tuple[Gateway, ScriptedUpstream]) -> Gateway:
    both[1].clear()
    return both[0]


@pytest.fixture
def upstream(both: tuple[Gateway, ScriptedUpstream]) -> ScriptedUpstream:
    return both[1]


def state(gateway: Gateway, name: str) -> dict[str, Any]:
    found = gateway.get("/admin/upstreams", ADMIN).json["upstreams"]
    return dict(next(one for one in found if one["provider"] == name))


@pytest.mark.parametrize(
    ("steps", "status", "code", "cause"),
    [
        (error_answer(400, "bad"), 400, None, "bad_request"),
        (error_answer(404, "no such thing"), 404, None, "not_found"),
        (error_answer(422, "bad"), 422, None, "bad_request"),
        (error_answer(429, "slow", retry_after="7"), 429, None, "rate_limited"),
        (error_answer(500, "oops"), 500, None, "server_error"),
        (error_answer(503, "busy"), 503, None, "overloaded"),
        (error_answer(401, "key"), 502, "upstream_auth", "key_refused"),
        # As text-embeddings-inference writes it.
        (answer({"error": "too long", "error_type": "Validation"}, 413), 413, None, "bad_request"),
        ([Head(302, {"location": "http://elsewhere", "content-length": "0"})], 502, None, "redirect"),
        ([BEGUN, Reset()], 502, "upstream_disconnected", "reset"),
        ([BEGUN, Close()], 502, "upstream_disconnected", "closed"),
        ([Sleep(4.5)], 504, "timeout", "total_timeout"),
        (answer(b"<html>"), 502, "upstream_invalid_answer", "invalid_answer"),
        ([Head(200, {"content-type": "application/json"}), Send(b'{"results":'), Reset()], 502,
         "upstream_disconnected", "reset"),
        ([Head(200, {"content-type": "application/json"}), Send(b'{"results":'), Sleep(1.6)], 504, "timeout",
         "idle_timeout"),
        ([SOUND, Reset()], 502, "upstream_disconnected", "reset"),
    ],
)  # fmt: skip
def test_a_failure_is_an_openai_error_with_its_cause(
    gateway: Gateway, upstream: ScriptedUpstream, steps: Any, status: int, code: str | None, cause: str
) -> None:
    counted = gateway.metric("upstream_failures_total", upstream="ranks", cause=cause)
    upstream.script(*steps)
    response = gateway.post(RANK, path="/v1/rerank")
    assert (response.status, response.json["error"]["code"]) == (status, code), response.body
    assert set(response.json["error"]) == {"message", "type", "param", "code"}
    assert MODEL_KEY not in response.body.decode()
    assert (response.headers["x-breakeven-route"], response.headers["x-breakeven-attempts"]) == ("model", "1")
    if status == 429:
        assert response.headers["retry-after"] == "7"
    record = gateway.record(response)
    (attempt,) = record["attempts"]
    assert (record["outcome"], attempt["cause"], attempt["provider"]) == ("upstream_error", cause, "ranks")
    assert gateway.metric("upstream_failures_total", upstream="ranks", cause=cause) == counted + 1
    assert cause in [one["cause"] for one in state(gateway, "ranks")["failures"]]
    assert gateway.get("/readyz").json["status"] == "ready"
    # What was refused, or is no answer, is not charged for; what broke off may well be.
    charged = attempt["status"] == 200 and cause != "invalid_answer"
    assert (attempt["cost"].get("tools", 0) > 0) is charged


def test_sound_that_breaks_off_has_no_end(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(SOUND, Send(b"abc"), Reset())
    with gateway.connect() as client:
        client.request("POST", "/v1/audio/speech", b'{"model":"speaks","input":"a"}')
        status, headers = client.head()
        assert (status, headers["content-type"]) == (200, "audio/mpeg")
        with pytest.raises(EOFError):
            list(client.segments(headers))
    record = eventually(lambda: next((r for r in gateway.settled() if r["outcome"] == "truncated"), None))
    assert record["attempts"][0]["cause"] == "reset"


def test_events_that_break_off_end_in_an_error_event(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(Head(200, {"content-type": "text/event-stream"}), Send(event({"delta": "a"})), Sleep(1.6))
    sent, headers = form(("model", b"hears"), ("stream", b"true"), ("file", b"\0"))
    response = gateway.post(sent, headers, path="/v1/audio/transcriptions")
    first, last, _ = response.body.split(b"\n\n")
    assert (response.status, first + b"\n\n") == (200, event({"delta": "a"}))
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "timeout"
    assert gateway.record(response)["attempts"][0]["cause"] == "idle_timeout"


def test_an_idle_connection_that_closes_is_tried_again(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(*answer({"results": []}), Sleep(0.05), Close())
    assert gateway.post(RANK, path="/v1/rerank").status == 200
    upstream.script(*answer({"results": []}))
    assert gateway.post(RANK, path="/v1/rerank").status == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_413(gateway: Gateway, upstream: ScriptedUpstream, *, chunked: bool) -> None:
    sent, headers = form(("model", b"hears"), ("file", bytes(300_000)))
    if chunked:
        headers["transfer-encoding"] = "chunked"
        sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(sent), sent)
    response = gateway.post(sent, headers, path="/v1/audio/transcriptions")
    assert (response.status, response.json["error"]["code"]) == (413, "request_too_large")
    assert not upstream.received


def test_a_client_that_goes_away_ends_the_call(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(SOUND, Send(b"abc"), ExpectDisconnect())
    before = len(gateway.settled())
    with gateway.connect() as client:
        client.request("POST", "/v1/audio/speech", b'{"model":"speaks","input":"a"}')
        client.head()
        client.reset()
    record = gateway.next_record(before)
    assert record["outcome"] == "client_cancelled"
    assert eventually(lambda: upstream.last.disconnected_after is not None)
    assert gateway.metric("in_flight", upstream="speaks") == 0


def test_a_client_that_closes_after_the_last_event_has_not_cancelled(
    gateway: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.script(Head(200, {"content-type": "text/event-stream"}), Send(event({"x": 1})), Send(DONE), Sleep(0.5))
    before = len(gateway.settled())
    with gateway.connect() as client:
        client.request("POST", "/v1/audio/speech", b'{"model":"speaks","input":"a","stream_format":"sse"}')
        _, headers = client.head()
        got = b""
        for segment in client.segments(headers):
            got += segment
            if got.endswith(DONE):
                break
        client.reset()
    assert got == event({"x": 1}) + DONE
    assert gateway.next_record(before)["outcome"] == "ok"


def test_a_circuit_opens_and_readyz_stays_200(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("circuit")
    with ScriptedUpstream("x") as own, unused_port() as port:
        breaker = {"consecutive_failures": 2, "failure_rate": 1.0, "window_requests": 50, "pause_seconds": 30}
        broken = model(own, "broken", paths=["/rerank"], breaker=breaker)
        refused = {**model(own, "refused", paths=["/rerank"]), "base_url": f"http://127.0.0.1:{port}/v1"}
        full = model(own, "full", paths=["/rerank"], max_concurrency=1)
        with with_models(folder, models=[broken, refused, full]) as (gateway, _):
            for _ in range(2):
                own.script(*error_answer(500))
                assert gateway.post({"model": "broken"}, path="/v1/rerank").status == 500
            response = gateway.post({"model": "broken"}, path="/v1/rerank")
            assert (response.status, response.json["error"]["code"]) == (503, "upstream_unavailable")
            assert response.headers["x-breakeven-route"] == "model"
            assert response.headers["x-breakeven-reason"] == "pinned"
            assert 1 <= int(response.headers["retry-after"]) <= 30
            assert gateway.metric("circuit_open", upstream="broken") == 1
            assert gateway.metric("circuit_open", upstream="full") == 0
            assert (state(gateway, "broken")["state"], gateway.get("/readyz").status) == ("down", 200)
            assert "the circuit of the model broken opened" in gateway.log.read_text()
            gone = gateway.post({"model": "refused"}, path="/v1/rerank")
            assert (gone.status, gone.json["error"]["code"]) == (502, "upstream_unreachable")
            own.script(Head(200, {"content-type": "audio/mpeg"}), Send(b"a"), ExpectDisconnect())
            with gateway.connect() as client:
                client.request("POST", "/v1/rerank", b'{"model":"full"}').head()
                busy = gateway.post({"model": "full"}, path="/v1/rerank")
                assert (busy.status, busy.json["error"]["code"]) == (429, "rate_limit_exceeded")


def test_a_model_that_is_up_makes_no_gateway_ready(tmp_path: Path) -> None:
    fragile = {"breaker": {"consecutive_failures": 1, "failure_rate": 1.0, "window_requests": 50, "pause_seconds": 30}}
    with unused_port() as port, unused_port() as other:
        down = {"student": {"base_url": f"http://127.0.0.1:{port}/v1", **fragile}}
        down["teacher"] = {"base_url": f"http://127.0.0.1:{other}/v1", **fragile}
        with with_models(tmp_path, down) as (gateway, upstream):
            assert gateway.get("/readyz").status == 200
            assert gateway.post(chat("both are tried")).status == 502
            upstream.script(*answer({"results": []}))
            assert gateway.post(RANK, path="/v1/rerank").status == 200
            assert gateway.get("/readyz").status == 503


def test_an_upstream_that_tells_its_key_is_cut_short(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    upstream.script(*error_answer(400, f"wrong key {MODEL_KEY} at {upstream.url}"))
    response = gateway.post(RANK, path="/v1/rerank")
    assert response.json["error"]["message"] == "wrong key [removed] at [removed]"
    assert MODEL_KEY not in gateway.log.read_text()
