"""Traces: the spans of a request and its attempts, as a collector receives them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.contract.client import Response, eventually
from tests.contract.gateway import ROOT, STUDENT_KEY, TEACHER_KEY, Gateway, chat, running
from tests.contract.scripted import DONE, Close, Head, Send, answer, delta, error_answer, stream
from tests.support.collector import Collector, attributes_of

FAST = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
Traced = tuple[Gateway, Collector]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with Collector() as collector:
        changes = {"tracing": {"otlp_endpoint": collector.url, "service_name": "shop-llm"}}
        with running(tmp_path_factory.mktemp("traced"), changes, environment=FAST) as gateway:
            yield gateway, collector


@pytest.fixture
def traced(served: Traced) -> Traced:
    gateway, collector = served
    gateway.student.clear()
    gateway.teacher.clear()
    collector.spans.clear()
    return served


def spans_of(collector: Collector, response: Response, attempts: int) -> tuple[Span, list[Span]]:
    """The span of a request, and those of its attempts in their order."""
    name = response.headers["x-request-id"]

    def request() -> Span | None:
        return next((s for s in collector.spans if attributes_of(s).get("breakeven.request_id") == name), None)

    def below() -> list[Span]:
        return [span for span in collector.spans if span.parent_span_id == eventually(request).span_id]

    eventually(lambda: len(below()) >= attempts)
    assert len(below()) == attempts
    return eventually(request), sorted(below(), key=lambda span: span.start_time_unix_nano)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_request_and_its_attempt_are_spans(traced: Traced, streamed: bool) -> None:
    gateway, collector = traced
    before = time.time_ns()
    response = gateway.post(chat("a secret prompt", stream=streamed))
    request, (attempt,) = spans_of(collector, response, 1)
    assert (request.name, request.kind) == ("POST /v1/chat/completions", Span.SPAN_KIND_SERVER)
    assert (attempt.name, attempt.kind) == ("chat small", Span.SPAN_KIND_CLIENT)
    assert request.trace_id == attempt.trace_id
    assert not request.parent_span_id
    assert {request.status.code, attempt.status.code} == {Status.STATUS_CODE_UNSET}
    found = attributes_of(request)
    assert 0 <= found.pop("breakeven.score") <= 1
    found.pop("breakeven.novelty", None)
    assert found == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "auto",
        "breakeven.route": "student",
        "breakeven.reason": "easy",
        "breakeven.threshold": 1.0,
        "breakeven.outcome": "ok",
        "breakeven.workload": "default",
        "breakeven.attempts": 1,
        "breakeven.request_id": response.headers["x-request-id"],
    }
    assert attributes_of(attempt) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "m",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 3,
        "breakeven.upstream": "student",
        "breakeven.outcome": "ok",
        "http.response.status_code": 200,
    }
    times = (request.start_time_unix_nano, attempt.start_time_unix_nano, attempt.end_time_unix_nano)
    assert before - 1e6 <= times[0] <= times[1] <= times[2] <= request.end_time_unix_nano + 1e6 <= time.time_ns() + 2e6
    assert collector.resources[-1]["service.name"] == "shop-llm"
    assert collector.paths == {"/v1/traces"}
    gone = b"".join(span.SerializeToString() for span in collector.spans)
    for secret in (b"secret prompt", b"hello", STUDENT_KEY.encode(), TEACHER_KEY.encode(), b"127.0.0.1"):
        assert secret not in gone


def test_a_clients_trace_is_continued_and_goes_on(traced: Traced) -> None:
    gateway, collector = traced
    response = gateway.post(chat(), {"traceparent": PARENT, "tracestate": "a=1,b=2"})
    request, (attempt,) = spans_of(collector, response, 1)
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, SPAN)
    assert request.trace_state == attempt.trace_state == "a=1,b=2"
    sent = gateway.student.last.headers
    assert sent["traceparent"] == f"00-{TRACE}-{attempt.span_id.hex()}-01"
    assert sent["tracestate"] == "a=1,b=2"
    assert gateway.record(response)["trace_id"] == TRACE


def test_a_trace_that_begins_here_goes_on_too(traced: Traced) -> None:
    gateway, collector = traced
    response = gateway.post(chat())
    request, (attempt,) = spans_of(collector, response, 1)
    assert gateway.record(response)["trace_id"] == request.trace_id.hex()
    assert gateway.student.last.headers["traceparent"] == f"00-{request.trace_id.hex()}-{attempt.span_id.hex()}-01"


@pytest.mark.parametrize(
    "given",
    [
        "", "x", PARENT[:-1], PARENT.upper(), PARENT.replace("00-", "ff-", 1), f"{PARENT}-more",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
    ],
)  # fmt: skip
def test_a_traceparent_that_is_none_begins_a_new_trace(traced: Traced, given: str) -> None:
    gateway, collector = traced
    response = gateway.post(chat(), {"traceparent": given, "tracestate": "a=1"})
    request, _ = spans_of(collector, response, 1)
    assert not request.parent_span_id
    assert request.trace_id.hex() != TRACE
    assert "tracestate" not in gateway.student.last.headers


def test_a_later_version_is_read(traced: Traced) -> None:
    gateway, collector = traced
    response = gateway.post(chat(), {"traceparent": PARENT.replace("00-", "cc-", 1) + "-what-the-future-holds"})
    assert spans_of(collector, response, 1)[0].trace_id.hex() == TRACE


def test_what_the_client_does_not_sample_goes_on_without_spans(traced: Traced) -> None:
    gateway, collector = traced
    gateway.post(chat(), {"traceparent": PARENT[:-1] + "0"})
    sent = gateway.student.last.headers["traceparent"]
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-00", sent)
    assert SPAN not in sent
    spans_of(collector, gateway.post(chat()), 1)
    assert len(collector.spans) == 2


def test_a_fallback_is_two_attempts_and_the_first_is_an_error(traced: Traced) -> None:
    gateway, collector = traced
    gateway.student.script(*error_answer(503))
    response = gateway.post(chat())
    request, (first, second) = spans_of(collector, response, 2)
    assert (first.status.code, second.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET)
    assert attributes_of(first)["error.type"] == "overloaded"
    assert attributes_of(second)["breakeven.upstream"] == "teacher"
    assert attributes_of(request)["breakeven.reason"] == "fallback"
    assert request.status.code == Status.STATUS_CODE_UNSET
    ids = [up.last.headers["traceparent"].split("-")[2] for up in (gateway.student, gateway.teacher)]
    assert ids == [first.span_id.hex(), second.span_id.hex()]


def test_failures(traced: Traced) -> None:
    gateway, collector = traced
    for upstream in (gateway.student, gateway.teacher):
        upstream.script(*error_answer(500))
    request, attempts = spans_of(collector, gateway.post(chat()), 2)
    assert [span.status.code for span in (request, *attempts)] == [Status.STATUS_CODE_ERROR] * 3
    assert attributes_of(request)["error.type"] == "server_error"
    gateway.student.script(Head(200, {"content-type": "text/event-stream"}), Send(delta("x")), Close())
    request, (attempt,) = spans_of(collector, gateway.post(chat(stream=True)), 1)
    assert request.status.code == attempt.status.code == Status.STATUS_CODE_ERROR
    assert attributes_of(attempt)["error.type"] in ("closed", "incomplete")
    assert attributes_of(request)["breakeven.outcome"] == "truncated"
    # The client's own faults are no error of this service.
    request, _ = spans_of(collector, gateway.post({"model": "nobody", "messages": [{"role": "user"}]}), 0)
    assert request.status.code == Status.STATUS_CODE_UNSET
    assert attributes_of(request)["http.response.status_code"] == 404
    assert "breakeven.route" not in attributes_of(request)


def test_other_endpoints(traced: Traced) -> None:
    gateway, collector = traced
    gateway.student.script(
        *answer({"object": "list", "data": [], "model": "e", "usage": {"prompt_tokens": 2, "total_tokens": 2}})
    )
    _, (attempt,) = spans_of(collector, gateway.post({"input": "x"}, path="/v1/embeddings"), 1)
    assert attempt.name == "embeddings small"
    assert attributes_of(attempt)["gen_ai.response.model"] == "e"
    gateway.teacher.script(*answer({"id": "resp_1", "object": "response", "model": "r"}))
    request, (attempt,) = spans_of(collector, gateway.get("/v1/responses/resp_1?include[]=x"), 1)
    assert (request.name, attempt.name) == ("GET /v1/responses/{id}", "GET big")
    assert "gen_ai.operation.name" not in attributes_of(request) | attributes_of(attempt)


def test_an_escalation_is_no_error(tmp_path: Path) -> None:
    rule = {"probe_tokens": 1, "min_mean_logprob": -1.0}
    with Collector() as collector:
        changes = {"tracing": {"otlp_endpoint": f"{collector.url}/v1/traces"}, "routing": {"escalation": rule}}
        with running(tmp_path, changes, environment=FAST) as gateway:
            doubted = {"content": [{"token": "a", "logprob": -5.0}]}
            choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": None, "logprobs": doubted}
            event = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
            gateway.student.script(*stream(event, delta("", finish="stop"), DONE))
            request, attempts = spans_of(collector, gateway.post(chat(stream=True)), 2)
            assert [span.status.code for span in (request, *attempts)] == [Status.STATUS_CODE_UNSET] * 3
            assert attributes_of(request)["breakeven.reason"] == "escalated"


@pytest.mark.parametrize("streamed", [False, True])
def test_content_on_request_only(tmp_path: Path, streamed: bool) -> None:
    with Collector() as collector:
        tracing = {"otlp_endpoint": collector.url, "content": True}
        with running(tmp_path, {"tracing": tracing}, environment=FAST) as gateway:
            parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]
            messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": parts}]
            body = {"model": "teacher", "messages": messages, "stream": streamed}
            _, (attempt,) = spans_of(collector, gateway.post(body), 1)
    found = attributes_of(attempt)
    text = [{"type": "text", "content": "hello"}]
    assert json.loads(found["gen_ai.output.messages"]) == [{"role": "assistant", "parts": text}]
    assert json.loads(found["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "be brief"}]},
        {"role": "user", "parts": [{"type": "text", "content": "look"}]},
    ]


def test_a_collector_that_is_down_is_said_once_and_slows_nothing_down(tmp_path: Path) -> None:
    with Collector() as collector:
        collector.status = 503
        environment = {**FAST, "OTEL_BSP_MAX_QUEUE_SIZE": "16", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"}
        changes = {"tracing": {"otlp_endpoint": collector.url}}
        with running(tmp_path, changes, environment=environment) as gateway:
            began = time.monotonic()
            assert [gateway.post(chat()).status for _ in range(60)] == [200] * 60
            assert time.monotonic() - began < 5
            eventually(lambda: "takes no spans" in gateway.log.read_text(), 15)
            began = time.monotonic()
            gateway.stop()
            assert time.monotonic() - began < 8
            log = gateway.log.read_text()
    assert log.count("takes no spans") == 1
    assert collector.url not in log
    assert "opentelemetry" not in log


def test_what_is_queued_is_exported_at_the_end(tmp_path: Path) -> None:
    with Collector() as collector:
        changes = {"tracing": {"otlp_endpoint": collector.url}, "server": {"workers": 2}}
        environment = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_EXPORTER_OTLP_HEADERS": "x-token=secret"}
        with running(tmp_path, changes, environment=environment) as gateway:
            for _ in range(20):
                gateway.post(chat())
            assert not collector.spans
        assert len(collector.spans) == 40
        assert len({span.span_id for span in collector.spans}) == 40
        assert collector.headers["x-token"] == "secret"


def test_sampling(tmp_path: Path) -> None:
    with Collector() as collector:
        tracing = {"otlp_endpoint": collector.url, "sample_ratio": 0.0}
        with running(tmp_path, {"tracing": tracing}, environment=FAST) as gateway:
            assert re.fullmatch("[0-9a-f]{32}", gateway.record(gateway.post(chat()))["trace_id"])
            spans_of(collector, gateway.post(chat(), {"traceparent": PARENT}), 1)
            assert len(collector.spans) == 2


def test_off_by_default_switched_on_and_off_by_a_reload(tmp_path: Path) -> None:
    with Collector() as collector, running(tmp_path, environment=FAST) as gateway:
        response = gateway.post(chat(), {"traceparent": PARENT})
        assert gateway.student.last.headers["traceparent"] == PARENT
        assert "trace_id" not in gateway.record(response)
        for endpoint in (collector.url, None):
            reloads = gateway.log.read_text().count("the config was reloaded")
            gateway.write_config({"tracing": {"otlp_endpoint": endpoint}})
            eventually(lambda seen=reloads: gateway.log.read_text().count("the config was reloaded") > seen)
            response = gateway.post(chat(), {"traceparent": PARENT})
            assert (gateway.student.last.headers["traceparent"] == PARENT) == (endpoint is None)
            assert ("trace_id" in gateway.record(response)) == (endpoint is not None)
        eventually(lambda: len(collector.spans) == 2)


def test_an_upstream_that_gets_no_traceparent_gets_none(tmp_path: Path) -> None:
    with Collector() as collector:
        changes = {"tracing": {"otlp_endpoint": collector.url}, "student": {"pass_headers": []}}
        with running(tmp_path, changes, environment=FAST) as gateway:
            response = gateway.post(chat(), {"traceparent": PARENT})
            assert "traceparent" not in gateway.student.last.headers
            assert spans_of(collector, response, 1)[0].trace_id.hex() == TRACE


def test_histograms_name_traces_where_openmetrics_is_asked_for(traced: Traced) -> None:
    gateway, _ = traced
    trace = gateway.record(gateway.post(chat()))["trace_id"]
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    text = gateway.get("/metrics", accept).body.decode()
    for name in ("request_seconds", "first_event_seconds", "overhead_seconds", "score"):
        assert re.search(rf'breakeven_{name}_bucket{{.*}} \S+ # {{trace_id="{trace}"}}', text), name
    assert "trace_id" not in gateway.get("/metrics").body.decode()


def test_without_its_packages_the_config_is_refused() -> None:
    code = (
        "import sys\nsys.modules['opentelemetry.exporter'] = None\n"
        "from breakeven.gateway.config.tracing import Tracing\n"
        "from breakeven.gateway.observability.tracing import check_tracing\n"
        "check_tracing(Tracing())\n"
        "check_tracing(Tracing(otlp_endpoint='http://127.0.0.1:4318'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "pip install 'breakeven[tracing]'" in done.stderr


def test_the_sdk_is_not_imported_where_traces_are_off() -> None:
    # FastAPI imports the interface, opentelemetry-api, by itself.
    code = "import sys, breakeven.gateway.server.app, breakeven.gateway.server.workers\n"
    code += "sys.exit(any(name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter')) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
