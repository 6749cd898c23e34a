"""A stream that is cut off is paid for: what was delivered is estimated, counted as missing, and kept apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.contract.gateway import Gateway, chat
from tests.contract.scripted import (
    DONE,
    Close,
    ExpectDisconnect,
    Head,
    Reset,
    ScriptedUpstream,
    Send,
    Step,
    delta,
    error_answer,
    stream,
    usage_chunk,
)

# The columns of a cut attempt, and the prices of the teacher in this suite: 10 and 20 USD per million.
COLUMNS = (
    "usage_missing, prompt_tokens, output_tokens, cost_input + cost_cached_input + cost_output,"
    " estimated_prompt_tokens, estimated_output_tokens, cost_estimated"
)
SSE = {"content-type": "text/event-stream"}


def attempt(gateway: Gateway, record: dict[str, Any]) -> tuple[Any, ...]:
    gateway.metrics()  # what was settled is stored
    (row,) = gateway.rows(f"SELECT {COLUMNS} FROM attempts WHERE request = '{record['id']}'")
    return row


def complete(gateway: Gateway, teacher: ScriptedUpstream, events: int, tokens: int) -> None:
    """A whole answer of the teacher, from which tokens per event are learned."""
    usage = {"prompt_tokens": 40, "completion_tokens": tokens, "total_tokens": 40 + tokens}
    teacher.script(*stream(*[delta("word ")] * events, delta("", finish="stop"), usage_chunk(usage), DONE))
    response = gateway.post(chat("a question of some length, please", model="teacher", stream=True))
    assert response.status == 200


def cut_by_client(gateway: Gateway, teacher: ScriptedUpstream, events: int) -> dict[str, Any]:
    teacher.script(Head(200, SSE), Send(delta("word ") * events), ExpectDisconnect(5))
    count = len(gateway.settled())
    with gateway.connect() as client:
        body = chat("a question of some length, please", model="teacher", stream=True)
        client.request("POST", "/v1/chat/completions", json.dumps(body).encode())
        _, headers = client.head()
        got = b""
        for segment in client.segments(headers):
            got += segment
            if got.count(b"word") == events:
                break
        client.reset()
    return gateway.next_record(count)


def test_a_client_that_hangs_up_is_charged_for_what_was_delivered(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    complete(gateway, teacher, events=400, tokens=401)
    missing = gateway.metric("usage_missing_total", upstream="teacher")
    cost = gateway.metric("estimated_cost_usd_total", upstream="teacher")
    record = cut_by_client(gateway, teacher, 390)
    assert record["outcome"] == "client_cancelled"
    flag, prompt, output, paid, estimated_prompt, estimated_output, estimated = attempt(gateway, record)
    assert (flag, prompt, output, paid) == (1, 0, 0, 0)
    # The prompt is the same as the one that was measured, and each event a token.
    assert estimated_prompt == 40
    assert estimated_output == pytest.approx(390, abs=2)
    assert estimated == estimated_prompt * 10 * 10**6 + estimated_output * 20 * 10**6
    assert gateway.metric("usage_missing_total", upstream="teacher") == missing + 1
    assert gateway.metric("estimated_cost_usd_total", upstream="teacher") == pytest.approx(cost + estimated / 1e12)


@pytest.mark.parametrize("end", [[Reset()], [Close()]], ids=["reset", "closed"])
def test_an_upstream_that_stops_in_the_middle(gateway: Gateway, teacher: ScriptedUpstream, end: Sequence[Step]) -> None:
    complete(gateway, teacher, events=400, tokens=401)
    teacher.script(Head(200, SSE), Send(delta("word ") * 300), *end)
    count = len(gateway.settled())
    gateway.post(chat("a question of some length, please", model="teacher", stream=True))
    flag, _, output, paid, _, estimated_output, estimated = attempt(gateway, gateway.next_record(count))
    assert (flag, output, paid) == (1, 0, 0)
    assert estimated_output == pytest.approx(300, abs=2)
    assert estimated > 0


def test_tokens_of_a_cut_stream_are_kept_apart_from_those_reported(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    complete(gateway, teacher, events=100, tokens=101)
    before = gateway.metric("tokens_total", upstream="teacher", kind="output")
    estimated = gateway.metric("estimated_tokens_total", upstream="teacher", kind="output")
    cut_by_client(gateway, teacher, 50)
    assert gateway.metric("tokens_total", upstream="teacher", kind="output") == before
    assert gateway.metric("estimated_tokens_total", upstream="teacher", kind="output") > estimated


def test_what_an_upstream_refuses_costs_nothing_and_is_not_missing(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    missing = gateway.metric("usage_missing_total", upstream="teacher")
    teacher.script(*error_answer(400))
    count = len(gateway.settled())
    assert gateway.post(chat(model="teacher")).status == 400
    assert attempt(gateway, gateway.next_record(count)) == (0, 0, 0, 0, 0, 0, 0)
    assert gateway.metric("usage_missing_total", upstream="teacher") == missing


def test_counts_that_contradict_their_total_are_missing(gateway: Gateway, teacher: ScriptedUpstream) -> None:
    missing = gateway.metric("usage_missing_total", upstream="teacher")
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40}
    teacher.script(*stream(delta("word "), delta("", finish="stop"), usage_chunk(usage), DONE))
    count = len(gateway.settled())
    assert gateway.post(chat(model="teacher", stream=True)).status == 200
    row = attempt(gateway, gateway.next_record(count))
    assert row[:4] == (1, 10, 5, 10 * 10 * 10**6 + 5 * 20 * 10**6)
    assert gateway.metric("usage_missing_total", upstream="teacher") == missing + 1
