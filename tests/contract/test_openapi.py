"""The OpenAPI document is valid and complete, and the answers of a gateway with traffic are what it says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.support.pairs import PAIRS, store

ADMIN = {"authorization": "Bearer admin"}
ERROR = {"$ref": "#/components/schemas/ErrorResponse"}
CLIENT = [{"client_key": []}, {}]
ANTHROPIC = ("/v1/messages", "/v1/messages/count_tokens")
RELAYED = (
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/responses/{id}",
    "/v1/responses/{id}/cancel", "/v1/responses/{id}/input_items", "/v1/responses/compact",
    "/v1/responses/input_tokens", *ANTHROPIC,
)  # fmt: skip
ANSWERS = {
    ("GET", "/v1/models"): "ModelList",
    ("GET", "/v1/models/{name}"): "Model",
    ("GET", "/healthz"): "Health",
    ("GET", "/health"): "Health",
    ("GET", "/ping"): "Health",
    ("GET", "/version"): "Version",
    ("GET", "/readyz"): "Readiness",
    ("POST", "/v1/feedback"): "FeedbackStored",
    ("GET", "/admin/policy"): "PolicyInForce",
    ("PUT", "/admin/policy"): "PolicyInForce",
    ("DELETE", "/admin/policy"): "PolicyInForce",
    ("GET", "/admin/road"): "RoadState",
    ("GET", "/admin/candidate"): "CandidateState",
    ("POST", "/admin/candidate/promote"): "CandidateState",
    ("POST", "/admin/candidate/drop"): "CandidateState",
    ("POST", "/admin/candidate/rollback"): "CandidateState",
    ("POST", "/admin/road/{workload}/apply"): "WorkloadState",
    ("POST", "/admin/road/{workload}/rollback"): "WorkloadState",
    ("POST", "/admin/route"): "ExplainedDecision",
    ("GET", "/admin/report"): "Report",
    ("GET", "/admin/decisions"): "RecordedDecisions",
    ("GET", "/admin/whatif"): "WhatIf",
    ("GET", "/admin/upstreams"): "UpstreamStates",
    ("GET", "/admin/requests/{id}"): "RequestDetails",
    ("POST", "/admin/requests/{id}/feedback"): "RequestDetails",
    ("GET", "/admin/series"): "Series",
    ("GET", "/admin/comparisons"): "ComparedPairs",
    ("GET", "/admin/comparisons/{request}"): "ComparisonDetails",
    ("GET", "/admin/labels"): "LabelState",
    ("POST", "/admin/labels/{request}"): "LabelState",
    ("GET", "/admin/changes"): "RecordedChanges",
    ("POST", "/admin/changes/{id}/undo"): "RecordedChange",
    ("GET", "/admin/students"): "StudentVersions",
    ("GET", "/console/session"): "Session",
    ("POST", "/console/session"): "Session",
    ("DELETE", "/console/session"): "Session",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Routed, pinned and compared requests are in its ledger."""
    keeping = {"ledger": {"store_conversations": True}}
    changes = {
        "road": {"sample": 1.0, "scorer": "exact"},
        **keeping,
        "economics": {"investment_usd": 5, "hosting_since": "2026-01-01T00:00:00Z"},
    }
    with running(tmp_path_factory.mktemp("openapi"), changes, environment={"BREAKEVEN_ADMIN_KEY": "admin"}) as gateway:
        for model in ("auto", "auto", "teacher", "auto@0"):
            assert gateway.post(chat("What is two and two?", model=model)).status == 200
        yield gateway


@pytest.fixture(scope="module")
def document(served: Gateway) -> dict[str, Any]:
    return dict(served.get("/openapi.json").json)


def admin(gateway: Gateway, path: str) -> dict[str, Any]:
    return dict(gateway.get(f"/admin/{path}", ADMIN).json)


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method.upper(), path): one for path, its in document["paths"].items() for method, one in its.items()}


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()
    text = json.dumps(document)
    used = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert used == set(document["components"]["schemas"])
    names = [one["operationId"] for one in operations(document).values()]
    assert len(set(names)) == len(names)


def test_every_answer_has_a_schema(document: dict[str, Any]) -> None:
    found = {}
    for key, one in operations(document).items():
        content = one["responses"]["200"]["content"]
        if key[1] in RELAYED:
            continue
        if "application/json" in content:
            found[key] = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert all("schema" in media for media in content.values()), key
    assert found == ANSWERS


def test_every_error_has_the_one_shape(document: dict[str, Any]) -> None:
    for key, one in operations(document).items():
        errors = {status: answer for status, answer in one["responses"].items() if status != "200"}
        assert "default" in errors, key
        if key[1] in ANTHROPIC:
            schema = errors.pop("default")["content"]["application/json"]["schema"]
            assert set(schema["properties"]) == {"type", "error"}
        if key == ("GET", "/readyz"):
            assert errors.pop("503")["content"]["application/json"]["schema"]["$ref"].endswith("/Readiness")
        assert all(answer["content"]["application/json"]["schema"] == ERROR for answer in errors.values()), key
    detail = document["components"]["schemas"]["ErrorDetail"]
    assert set(detail["required"]) == {"message", "type", "param", "code"}


def test_request_bodies(document: dict[str, Any]) -> None:
    found = operations(document)
    bodies = {key: one["requestBody"] for key, one in found.items() if "requestBody" in one}
    assert {key for key in bodies if key[1] not in RELAYED} == {
        ("PUT", "/admin/policy"),
        ("POST", "/admin/route"),
        ("POST", "/v1/feedback"),
        ("POST", "/admin/requests/{id}/feedback"),
        ("POST", "/admin/labels/{request}"),
        ("POST", "/console/session"),
    }
    assert all(body["required"] for body in bodies.values())
    schemas = {key: body["content"]["application/json"]["schema"] for key, body in bodies.items()}
    assert schemas["PUT", "/admin/policy"]["$ref"].endswith("/PolicyUpdate")
    assert schemas["POST", "/v1/feedback"]["$ref"].endswith("/Feedback")
    assert [one["required"] for one in schemas["POST", "/admin/route"]["anyOf"]] == [
        ["messages"],
        ["prompt"],
        ["input"],
    ]


def test_who_may_use_what(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert {name: one["scheme"] for name, one in schemes.items()} == {"client_key": "bearer", "admin_key": "bearer"}
    assert "security" not in document
    for (_, path), one in operations(document).items():
        expected = [{"admin_key": []}] if path.startswith("/admin") else CLIENT if path.startswith("/v1") else None
        assert one.get("security") == expected, path


def test_every_field_and_parameter_is_described(document: dict[str, Any]) -> None:
    bare = []
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description") or name == "Escalation", name  # a section of the config
        for field, its in schema.get("properties", {}).items():
            if not ("description" in its or "$ref" in its or "const" in its):
                bare.append(f"{name}.{field}")
        if schema["type"] == "object" and name not in ("PolicyUpdate", "Escalation"):
            assert set(schema["required"]) == set(schema["properties"]), name
            assert schema["additionalProperties"] is False, name
    for key, one in operations(document).items():
        assert one.get("summary") or one.get("description"), key
        bare += [f"{key} {each['name']}" for each in one.get("parameters", []) if not each.get("description")]
    assert bare == []


def test_answers_of_a_gateway_with_traffic_are_what_the_document_says(
    served: Gateway, document: dict[str, Any]
) -> None:
    schema = schemathesis.openapi.from_dict(document)
    url = f"http://127.0.0.1:{served.port}"
    # Enough compared pairs for savings to be measured.
    store(served.folder / "ledger.db", PAIRS, time.time_ns() // 1000)
    answered = requests.get(f"{url}/admin/decisions", headers=ADMIN, timeout=10).json()["decisions"][0]
    bodies: dict[tuple[str, str], Any] = {
        ("POST", "/v1/feedback"): {"request_id": answered["request_id"], "score": 1},
        ("PUT", "/admin/policy"): {"threshold": 0.4, "escalation": {"probe_tokens": 8}},
        ("POST", "/admin/route"): chat("What is two and two?"),
        ("POST", "/admin/requests/{id}/feedback"): {"score": 0.5},
        ("POST", "/console/session"): {"key": "admin"},
    }
    compared = eventually(lambda: admin(served, "comparisons")["comparisons"])[0]
    pair = eventually(lambda: admin(served, "labels")["pair"])
    bodies["POST", "/admin/labels/{request}"] = {"better": "tie", "after": None}
    ids = {"name": "auto", "workload": "default", "id": answered["id"], "request": compared["request"]}
    for method, path in ANSWERS:
        known = ids
        if path == "/admin/labels/{request}":
            known = {"request": pair["request"]}
        elif path.startswith("/admin/changes/"):
            known = {"id": admin(served, "changes")["changes"][0]["id"]}
        answer = requests.request(
            method,
            url + path.format(**known),
            json=bodies.get((method, path)),
            headers=ADMIN | {"x-breakeven-console": "1"},
            timeout=10,
        )
        # Nothing is proposed, nothing was in force before, and there is no candidate.
        refused = "{workload}" in path or "/candidate/" in path
        assert answer.status_code == (409 if refused else 200), (path, answer.text)
        assert answer.json(), path
        schema[path][method].validate_response(answer)
    report = requests.get(f"{url}/admin/report", headers=ADMIN, timeout=10).json()
    assert report["curve"]
    assert report["savings_usd"] is not None


@pytest.mark.parametrize(("method", "path"), [("PUT", "/admin/policy"), ("POST", "/admin/route")])
def test_a_caller_without_a_key_is_refused_before_its_body_is_read(served: Gateway, method: str, path: str) -> None:
    head = {"content-length": str(1 << 30), "content-type": "application/json"}
    with served.connect() as client:
        client.request(method, path, b"", head)
        assert client.response().status == 401


def test_a_body_that_is_too_large_is_a_413(served: Gateway) -> None:
    for method, path, size in (("PUT", "/admin/policy", 1 << 20), ("POST", "/v1/feedback", 1 << 16)):
        with served.connect() as client:
            client.request(method, path, b" " * (size + 1), {"content-length": str(size + 1), **ADMIN})
            response = client.response()
            assert (response.status, response.error["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"null", None),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 50_000, None),
        (b'{"threshold": "0.4"}', "threshold"),
        (b'{"threshold": NaN}', "threshold"),
        (b'{"threshold": 1' + b"0" * 400 + b"}", "threshold"),
        (b'{"escalation": {"probe_tokens": 0}}', "escalation.probe_tokens"),
        (b'{"key-of-mine": 1}', "key-of-mine"),
    ],
)
def test_a_wrong_body_is_a_400_that_names_the_field(served: Gateway, body: bytes, param: str | None) -> None:
    answer = requests.put(f"http://127.0.0.1:{served.port}/admin/policy", data=body, headers=ADMIN, timeout=10)
    assert answer.status_code == 400
    assert (answer.json()["error"]["param"], answer.json()["error"]["code"]) == (param, "invalid_policy")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_is_json_whatever_its_content_type_says(served: Gateway, kind: str | None) -> None:
    url = f"http://127.0.0.1:{served.port}/v1/feedback"
    body = b'{"request_id": "nobody-knows-this", "score": 1}'
    headers = {} if kind is None else {"content-type": kind}
    assert requests.post(url, data=body, headers=headers, timeout=10).status_code == 404


def test_the_docs_page_is_not_in_the_document(document: dict[str, Any], served: Gateway) -> None:
    assert not [path for path in document["paths"] if path.startswith(("/docs", "/openapi"))]
    assert served.get("/docs").status == 200
    licence = Path("gateway/api/docs_ui/static/swagger-ui.LICENSE.txt")
    assert served.get(f"/docs/{licence.name}").body.decode().strip().startswith("Apache License")
