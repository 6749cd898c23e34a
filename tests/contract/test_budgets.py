"""Monthly budgets: what was delivered is charged, and running requests hold what they may cost."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Response, eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import (
    DONE,
    Close,
    ExpectDisconnect,
    Head,
    ScriptedUpstream,
    Send,
    Sleep,
    Step,
    answer,
    delta,
    error_answer,
    stream,
    usage_chunk,
)
from tests.contract.test_keys import as_key, key

SSE = {"content-type": "text/event-stream"}
# Of the scripted teacher: 10 and 20 USD per million tokens.
USAGE = {"prompt_tokens": 10, "completion_tokens": 60, "total_tokens": 70}
COST = 1300e-6
PATIENT = {"timeouts": {"first_event_seconds": 60, "idle_seconds": 60, "total_seconds": 120}, "max_concurrency": 1000}
CONFIG = {
    "student": PATIENT,
    "teacher": {**PATIENT, "reserve_output_tokens": 500, "messages": "native"},
    "auth": {
        "keys": [
            *(key(f"cut-{case}", monthly_budget_usd="0.006") for case in ("chat", "text", "responses", "messages")),
            key("cut-tokens", tokens_per_minute=150),
            key("unlimited", monthly_budget_usd="0.04"),
            key("places", monthly_budget_usd="0.01", requests_per_minute=3),
            key("frugal", monthly_budget_usd="0.01", over_budget="student"),
            key("fallback", monthly_budget_usd="0.003"),
            key("failing", monthly_budget_usd="0.01"),
        ]
    },
}
PLAIN = {"student": PATIENT, "teacher": PATIENT}


def completion(**usage: int) -> list[Step]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    return answer({"id": "x", "object": "chat.completion", "choices": [choice], "usage": {**USAGE, **usage}})


def charged(gateway: Gateway, name: str) -> float:
    """USD that the ledger has for a key, estimates among them."""
    gateway.metrics()
    (row,) = gateway.rows(
        "SELECT coalesce(sum(cost_input + cost_cached_input + cost_output + cost_estimated), 0) FROM hourly "
        f"WHERE key = '{name}'"
    )
    return float(row[0]) / 1e12


def hang_up(gateway: Gateway, body: dict[str, Any], name: str, path: str = "/v1/chat/completions") -> int:
    """Ask for a stream and close after 97 words; returns the status."""
    count = len(gateway.settled())
    with gateway.connect() as client:
        client.request("POST", path, json.dumps(body).encode(), as_key(name))
        status, headers = client.head()
        if status == 200:
            got = b""
            for segment in client.segments(headers):
                got += segment
                if got.count(b"word") >= 97:
                    break
            client.reset()
    gateway.next_record(count)
    return status


def typed(words: int) -> bytes:
    event = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"word "}\n\n'
    return event * words


def blocks(words: int) -> bytes:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
    return b"event: content_block_delta\ndata: %b\n\n" % json.dumps(delta).encode() * words


CUT: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "chat": ("/v1/chat/completions", chat(max_tokens=100), delta("word ") * 97),
    "text": ("/v1/completions", {"prompt": "hi", "max_tokens": 100}, delta("word ") * 97),
    "responses": ("/v1/responses", {"input": "hi", "max_output_tokens": 100}, typed(97)),
    "messages": ("/v1/messages", chat(max_tokens=100), blocks(97)),
}


def cut_in_turn(gateway: Gateway, case: tuple[str, dict[str, Any], bytes], name: str) -> None:
    path, body, events = case
    statuses = []
    for _ in range(7):
        gateway.teacher.script(Head(200, SSE), Send(events), ExpectDisconnect(30))
        statuses.append(hang_up(gateway, {**body, "model": "teacher", "stream": True}, name, path))
        gateway.teacher.clear()
    # 97 words and a prompt cost 0.002 USD, of which there are 0.006.
    served = statuses.count(200)
    assert served in (3, 4)
    assert statuses == [200] * served + [429] * (7 - served)
    assert charged(gateway, name) == pytest.approx(served * 97 * 20e-6, rel=0.2)
    query = f"SELECT count(*) FROM attempts JOIN requests ON request = id WHERE key = '{name}'"
    assert gateway.rows(f"{query} AND usage_missing AND estimated_by = 'estimated'") == [(served,)]


@pytest.mark.parametrize("case", CUT)
def test_hanging_up_before_the_end_is_not_free(gateway: Gateway, case: str) -> None:
    cut_in_turn(gateway, CUT[case], f"cut-{case}")


def test_hanging_up_a_translated_stream_is_not_free(tmp_path: Path) -> None:
    with running(tmp_path, {"auth": {"keys": [key("poor", monthly_budget_usd="0.006")]}}) as gateway:
        cut_in_turn(gateway, (*CUT["messages"][:2], CUT["chat"][2]), "poor")


def test_tokens_of_a_cut_stream_count_for_the_limit_of_tokens(gateway: Gateway) -> None:
    statuses = []
    for model in ("student", "teacher", "student"):
        upstream = gateway.student if model == "student" else gateway.teacher
        upstream.script(Head(200, SSE), Send(delta("word ") * 97), ExpectDisconnect(30))
        statuses.append(hang_up(gateway, chat(model=model, stream=True), "cut-tokens"))
    assert statuses == [200, 200, 429]


def burst(gateway: Gateway, name: str, count: int, **fields: Any) -> list[Response]:
    """Many requests at once, none of which is answered before the upstream has seen all that it gets."""
    body = {**chat(model="teacher"), **fields}
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: gateway.post(body, as_key(name)), range(count)))


def slow(upstream: ScriptedUpstream, seconds: float = 3.0) -> None:
    upstream.default(Sleep(seconds), *completion())


@pytest.mark.parametrize("workers", [1, 2])
def test_two_hundred_at_once_overspend_by_a_tenth_at_most(tmp_path: Path, workers: int) -> None:
    config: dict[str, Any] = {**PLAIN, "auth": {"keys": [key("poor", monthly_budget_usd="0.04")]}}
    if workers > 1:
        config["server"] = {"workers": workers}
    with running(tmp_path, config) as gateway:
        slow(gateway.teacher)
        served = sum(one.status == 200 for one in burst(gateway, "poor", 200, max_tokens=60))
        assert 0.5 * 0.04 <= served * COST <= 1.1 * 0.04
        gateway.teacher.default(*completion())
        while gateway.post(chat(model="teacher", max_tokens=60), as_key("poor")).status == 200:
            served += 1
        assert served * COST <= 1.1 * 0.04
        assert len(gateway.teacher.received) == served
        assert eventually(lambda: charged(gateway, "poor") == pytest.approx(served * COST), 30)


def test_without_a_limit_of_tokens_the_configs_is_held(gateway: Gateway) -> None:
    slow(gateway.teacher)
    responses = burst(gateway, "unlimited", 20)
    # 500 tokens are 0.01 USD, and the prompt some more.
    assert sum(one.status == 200 for one in responses) == 3
    refused = next(one for one in responses if one.status == 429)
    assert (refused.error["code"], refused.headers["retry-after"]) == ("insufficient_quota", "1")
    assert "running requests" in refused.error["message"]
    assert gateway.record(refused)["outcome"] == "rejected"


def test_what_is_refused_by_the_budget_takes_no_place_in_other_limits(gateway: Gateway) -> None:
    slow(gateway.teacher)
    assert sorted(one.status for one in burst(gateway, "places", 8, max_tokens=400)) == [200] + [429] * 7
    for _ in range(2):
        assert gateway.post(chat(model="student"), as_key("places")).status == 200
    assert gateway.post(chat(model="student"), as_key("places")).error["code"] == "rate_limit_exceeded"


def test_a_key_that_may_then_use_the_student_gets_its_answer(gateway: Gateway) -> None:
    slow(gateway.teacher)
    found = burst(gateway, "frugal", 8, model="auto@0", max_tokens=400)
    assert [one.status for one in found] == [200] * 8
    routes = [one.headers["x-breakeven-route"] for one in found]
    assert (routes.count("teacher"), routes.count("student")) == (1, 7)
    assert len(gateway.teacher.received) == 1


def test_a_fallback_that_cannot_be_paid_for_is_not_made(gateway: Gateway) -> None:
    slow(gateway.teacher)
    gateway.student.default(Close())
    found = burst(gateway, "fallback", 4, model="auto", max_tokens=100)
    assert sorted(one.status for one in found) == [200, 502, 502, 502]
    assert len(gateway.teacher.received) == 1
    assert {one.headers["x-breakeven-route"] for one in found if one.status == 502} == {"student"}


def test_an_escalation_that_cannot_be_paid_for_leaves_the_students_answer(tmp_path: Path) -> None:
    config = {
        **PLAIN,
        "auth": {"keys": [key("poor", monthly_budget_usd="0.002")]},
        "routing": {"escalation": {"probe_tokens": 1, "min_mean_logprob": -0.1}},
    }
    unsure: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    unsure["logprobs"] = {"content": [{"token": "x", "logprob": -5.0, "bytes": [120], "top_logprobs": []}]}
    with running(tmp_path, config) as gateway:
        slow(gateway.teacher)
        body = {"id": "x", "object": "chat.completion", "choices": [unsure], "usage": USAGE}
        gateway.student.default(*answer(body))
        found = burst(gateway, "poor", 3, model="auto", max_tokens=60)
        assert [one.status for one in found] == [200] * 3
        assert sorted(one.headers["x-breakeven-route"] for one in found) == ["student", "student", "teacher"]
        assert len(gateway.teacher.received) == 1


def test_a_request_that_fails_for_nothing_holds_nothing(gateway: Gateway) -> None:
    for steps in (error_answer(400), error_answer(429)):
        for _ in range(3):
            gateway.teacher.script(*steps)
            assert gateway.post(chat(model="teacher", max_tokens=400), as_key("failing")).status in (400, 429)
    gateway.teacher.default(*completion())
    assert gateway.post(chat(model="teacher", max_tokens=400), as_key("failing")).status == 200
    held = "SELECT count(*) FROM holds WHERE key = 'failing'"
    assert eventually(lambda: gateway.rows(held) == [(0,)], 30)
    assert charged(gateway, "failing") == pytest.approx(COST)


def test_streams_of_further_models_hold_as_well(tmp_path: Path) -> None:
    prices = {"input": 10, "output": 20}
    model = {"name": "other", "usd_per_million": prices, "api_key_env": None, **PATIENT}
    with ScriptedUpstream("other") as upstream:
        config = {**PLAIN, "auth": {"keys": [key("poor", monthly_budget_usd="0.01")]}}
        config["models"] = [{**model, "base_url": upstream.url, "paths": ["/chat/completions"]}]
        with running(tmp_path, config) as gateway:
            whole = stream(delta("word"), delta("", finish="stop"), usage_chunk(USAGE), DONE)
            upstream.default(Sleep(3), *whole)
            found = burst(gateway, "poor", 6, model="other", max_tokens=200, stream=True)
            assert sorted(one.status for one in found) == [200] * 2 + [429] * 4
            assert len(upstream.received) == 2


def test_workers_whose_shared_counters_cannot_be_written_hold_the_limits_all_the_same(tmp_path: Path) -> None:
    keys = [key("few", requests_per_minute=10, tokens_per_minute=100_000)]
    config = {"server": {"workers": 2}, "auth": {"keys": keys}}
    with running(tmp_path, config, environment={"TMPDIR": str(tmp_path)}) as gateway:
        (folder,) = tmp_path.glob("breakeven-workers-*")
        file = folder / "limits.sqlite"
        file.unlink(missing_ok=True)
        file.mkdir()
        statuses = [gateway.post(chat(), as_key("few")).status for _ in range(30)]
        assert set(statuses) == {200, 429}
        # One worker may have got all of them, and has half of the limit.
        assert 5 <= statuses.count(200) <= 10
        assert "limits.sqlite cannot be used" in gateway.log.read_text()
