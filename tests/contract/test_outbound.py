"""What goes to an upstream beside the body: the key's header, further headers and query, and headers of the client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import ROOT, STUDENT_KEY, TEACHER_KEY, Gateway, chat, running
from tests.contract.scripted import Head, Raw, ScriptedUpstream, answer, completion, error_answer

GATE = "gate-canary-71d0"
SIGNED = "sig canary/8&c4"
AZURE = {
    "auth_header": "api-key",
    "query": {"api-version": "2024-10-21", "sig": {"env": "T_SIGNED"}},
    "headers": {"OpenAI-Organization": "org-7", "x-gate": {"env": "T_GATE"}, "openai-beta": "assistants=v2"},
}
QUERY = "?api-version=2024-10-21&sig=sig%20canary%2F8%26c4"
PATHS = ("/chat/completions", "/completions", "/responses", "/embeddings")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLIENT = {
    "openai-beta": "client", "openai-organization": "client", "x-gate": "client", "api-key": "client",
    "authorization": "Bearer client", "x-session-id": "s1", "x-data-parallel-rank": "3", "baggage": "user=1",
    "idempotency-key": "i1", "traceparent": TRACE, "x-mine": "m1",
}  # fmt: skip


def azure(folder: Path, student: ScriptedUpstream, teacher: ScriptedUpstream, **more: Any) -> Gateway:
    """A gateway whose two upstreams want what Azure's API wants."""
    changes = {
        "student": {**AZURE, "base_url": f"http://127.0.0.1:{student.port}/openai/deployments/small%20one"},
        "teacher": {**AZURE, "base_url": f"http://127.0.0.1:{teacher.port}/openai/v1"},
        **more,
    }
    return Gateway(folder, student, teacher, changes, environment={"T_GATE": GATE, "T_SIGNED": SIGNED})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        gateway = azure(tmp_path_factory.mktemp("azure"), student, teacher)
        try:
            yield gateway.start()
        finally:
            gateway.stop()


@pytest.fixture
def gateway(shared: Gateway) -> Gateway:
    shared.student.clear()
    shared.teacher.clear()
    return shared


def body(path: str, model: str, stream: bool) -> dict[str, Any]:
    given: dict[str, Any] = {"model": model}
    if path == "/chat/completions":
        given["messages"] = [{"role": "user", "content": "hi"}]
    elif path == "/completions":
        given["prompt"] = "hi"
    else:
        given["input"] = "hi"
    return {**given, "stream": True} if stream else given


@pytest.mark.parametrize("name", ["student", "teacher"])
@pytest.mark.parametrize(("path", "stream"), [(path, s) for path in PATHS for s in (False, True)][:-1])
def test_key_headers_and_query_of_the_config_go_with_every_request(
    gateway: Gateway, name: str, path: str, stream: bool
) -> None:
    upstream, key = {"student": (gateway.student, STUDENT_KEY), "teacher": (gateway.teacher, TEACHER_KEY)}[name]
    base = {"student": "/openai/deployments/small%20one", "teacher": "/openai/v1"}[name]
    gateway.post(body(path, name, stream), CLIENT, f"/v1{path}")
    got = upstream.last
    assert got.path == f"{base}{path}{QUERY}"
    assert got.headers["api-key"] == key
    assert "authorization" not in got.names
    assert (got.headers["openai-organization"], got.headers["x-gate"]) == ("org-7", GATE)
    # The config's own value, once, and not the client's.
    assert got.headers["openai-beta"] == "assistants=v2"
    assert len(got.names) == len(set(got.names))


def test_the_default_passes_few_headers_and_those_of_sessions_to_the_student_only(
    shared_gateway: Gateway,
) -> None:
    shared_gateway.post(chat(), CLIENT)
    shared_gateway.post(chat(model="teacher"), CLIENT)
    common = {"idempotency-key": "i1", "openai-beta": "client", "traceparent": TRACE}
    sessions = {"baggage": "user=1", "x-session-id": "s1", "x-data-parallel-rank": "3"}
    own = {"accept", "accept-encoding", "user-agent", "host", "content-type", "content-length", "x-request-id"}
    for upstream, passed in ((shared_gateway.student, {**common, **sessions}), (shared_gateway.teacher, common)):
        got = upstream.last.headers
        assert {name: value for name, value in got.items() if name not in own | {"authorization"}} == passed


def test_pass_headers_replaces_the_default(tmp_path: Path) -> None:
    changes = {"student": {"pass_headers": ["X-Mine"]}, "teacher": {"pass_headers": []}}
    with running(tmp_path, changes) as gateway:
        gateway.post(chat(), CLIENT)
        gateway.post(chat(model="teacher"), CLIENT)
        assert gateway.student.last.headers["x-mine"] == "m1"
        own = {"accept", "accept-encoding", "user-agent", "host", "content-type", "content-length", "x-request-id"}
        assert set(gateway.student.last.names) == own | {"authorization", "x-mine"}
        assert set(gateway.teacher.last.names) == own | {"authorization"}


def test_calls_of_comparisons_carry_them_too_and_nothing_of_the_client(tmp_path: Path) -> None:
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        gateway = azure(tmp_path, student, teacher, road={"sample": 1.0, "scorer": "contains"})
        try:
            gateway.start().post(chat("What is the capital of France?"), CLIENT)
            teacher.wait_for(1)
        finally:
            gateway.stop()
        got = teacher.last
    assert got.path == f"/openai/v1/chat/completions{QUERY}"
    assert (got.headers["api-key"], got.headers["x-gate"]) == (TEACHER_KEY, GATE)
    assert "client" not in got.headers.values()
    assert "traceparent" not in got.names


def test_the_models_of_the_student_are_asked_for_with_them(tmp_path: Path) -> None:
    """The gateway's own GET for the context window."""
    with ScriptedUpstream("small") as student, ScriptedUpstream("big") as teacher:
        gateway = azure(tmp_path, student, teacher)
        try:
            gateway.start()
            got = eventually(lambda: student.gets)[0]
            assert got.path == f"/openai/deployments/small%20one/models{QUERY}"
            assert (got.headers["api-key"], got.headers["x-gate"]) == (STUDENT_KEY, GATE)
        finally:
            gateway.stop()


def test_no_secret_is_in_an_error_a_log_a_metric_or_the_output_of_check(gateway: Gateway) -> None:
    told = (
        f"denied: {GATE} {SIGNED} sig%20canary%2F8%26c4 {TEACHER_KEY} http://127.0.0.1:{gateway.teacher.port}/openai/v1"
    )
    gateway.teacher.script(*error_answer(400, told))
    response = gateway.post(chat(model="teacher"))
    assert response.error["message"] == "denied: [removed] [removed] [removed] [removed] [removed]"
    gateway.teacher.script(Head(200, {"content-type": "application/json", "content-length": "9"}), Raw(b"not json!"))
    assert gateway.post(chat(model="teacher")).status == 502
    check = subprocess.run(
        [sys.executable, "-m", "breakeven.gateway.cli", "check", "--config", str(gateway.path)],
        cwd=ROOT, env=gateway.environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "x-gate:\n      env: T_GATE" in check.stdout
    seen = check.stdout + check.stderr + gateway.log.read_text() + gateway.get("/metrics").body.decode()
    assert not [secret for secret in (GATE, SIGNED, "8%26c4", TEACHER_KEY, STUDENT_KEY) if secret in seen]


def test_an_upstream_that_wants_the_key_in_the_other_header_is_a_502_about_credentials(gateway: Gateway) -> None:
    gateway.teacher.script(*error_answer(401, f"no Bearer, {TEACHER_KEY}"))
    response = gateway.post(chat(model="teacher"))
    assert (response.status, response.error["code"]) == (502, "upstream_auth")
    assert TEACHER_KEY not in response.body.decode()


def test_a_fallback_takes_the_headers_of_the_other_upstream(tmp_path: Path) -> None:
    changes = {"student": {"headers": {"x-who": "student"}}, "teacher": {"headers": {"x-who": "teacher"}}}
    with running(tmp_path, changes) as gateway:
        gateway.student.script(*error_answer(500))
        gateway.teacher.script(*answer(completion()))
        assert gateway.post(chat()).status == 200
        assert gateway.student.last.headers["x-who"] == "student"
        assert gateway.teacher.last.headers["x-who"] == "teacher"
