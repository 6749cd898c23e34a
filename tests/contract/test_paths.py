"""The spellings of paths that clients use, WebSocket upgrades, and the paths that tools ask for health."""

from __future__ import annotations

import importlib.metadata
import json
from typing import Any

import pytest

from tests.contract.client import ask
from tests.contract.gateway import Gateway
from tests.contract.scripted import ScriptedUpstream, delta, stream, usage_chunk

ENDPOINTS: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/completions": {"prompt": "hi"},
    "/responses": {"input": "hi"},
    "/embeddings": {"input": "hi"},
}
SPELLINGS = (
    "{}", "/v1{}/", "//v1{}", "/v1/{}", "/v1{}//", "{}/", "/openai/v1{}", "/openai/v1{}?api-version=preview",
    "/v1/v1{}", "/v1/v1/v1{}", "/v1//v1{}/", "/openai/v1/v1{}",
)  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_the_endpoint(
    gateway: Gateway, student: ScriptedUpstream, spelling: str, endpoint: str
) -> None:
    response = gateway.post({"model": "auto", **ENDPOINTS[endpoint]}, path=spelling.format(endpoint))
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "student")
    # The upstream is asked at its own path, whatever the client's was.
    assert student.last.path == f"/v1{endpoint}"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("deployment", "route"), [("auto", "student"), ("big", "teacher"), ("auto%400", "teacher"), ("student", "student")]
)
def test_azures_deployment_is_the_model(gateway: Gateway, endpoint: str, deployment: str, route: str) -> None:
    path = f"/openai/deployments/{deployment}{endpoint}?api-version=2024-10-21"
    for body in (ENDPOINTS[endpoint], {**ENDPOINTS[endpoint], "model": "ignored"}):
        response = gateway.post(body, path=path)
        if endpoint == "/embeddings" and "%40" in deployment:
            continue  # not routed
        assert (response.status, response.headers["x-breakeven-route"]) == (200, route)
    unknown = gateway.post(ENDPOINTS[endpoint], path=path.replace(deployment, "nobody"))
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "model_not_found")


def test_streams_come_through_other_spellings_unchanged(gateway: Gateway, student: ScriptedUpstream) -> None:
    events = (delta("a"), delta("b", finish="stop"), usage_chunk())
    body = {"model": "auto", "stream": True, **ENDPOINTS["/chat/completions"]}
    answers = []
    for path in ("/v1/chat/completions", "/chat/completions", "/openai/deployments/auto/chat/completions"):
        student.script(*stream(*events))
        answers.append(gateway.post(body, path=path).body)
    assert len(set(answers)) == 1
    assert b"[DONE]" in answers[0]


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/realtime", "/v1/chat/completions", "/"])
def test_a_websocket_is_answered_with_426(gateway: Gateway, path: str) -> None:
    headers = {
        "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    response = ask(gateway.port, path, headers=headers, method="GET")
    assert (response.status, response.json["error"]["code"]) == (426, "upgrade_required")
    assert response.headers["upgrade"] == "HTTP/1.1"


def test_health_and_version(gateway: Gateway) -> None:
    for path in ("/health", "/healthz", "/ping", "//health", "/health/", "/ping/"):
        assert ask(gateway.port, path, method="HEAD").status == 200
        assert json.loads(gateway.get(path).body) == {"status": "ok"}
    assert json.loads(gateway.get("/version").body) == {"version": importlib.metadata.version("breakeven")}
    models = gateway.get("/v1/models").body
    for path in ("//v1//models/", "/models", "/models/", "//models", "/openai/models", "/openai/v1/models"):
        assert gateway.get(path).body == models
    one = gateway.get("/v1/models/small").body
    for path in ("/models/small", "/v1/models/small/", "/openai/models/small?api-version=2024-10-21"):
        assert gateway.get(path).body == one
    # Pages and the paths for operators have one spelling.
    for path in ("/metrics/", "/console/", "//metrics"):
        assert gateway.get(path).status == 404
