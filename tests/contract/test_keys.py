"""Client keys: who may call, how much, and browsers."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import ask, eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import ScriptedUpstream, error_answer


def key(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(f"secret-{name}".encode()).hexdigest(), **fields}


CONFIG = {
    "server": {"cors_origins": ["https://app.example.com"]},
    "auth": {
        "keys": [
            key("free"),
            key("few", requests_per_minute=3),
            *(key(f"student{place}", requests_per_minute=2, teacher=False) for place in range(4)),
            key("short", tokens_per_minute=20),
            # One answer of the scripted teacher: 10 tokens at 10 and 3 at 20 USD per million, 160 microdollars.
            key("poor", monthly_budget_usd="0.000300"),
            key("frugal", monthly_budget_usd="0.000100", over_budget="student"),
        ]
    },
}


def as_key(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer secret-{name}"}


def test_a_right_key_is_let_in_and_is_in_the_record(gateway: Gateway) -> None:
    response = gateway.post(chat(), as_key("free"))
    assert response.status == 200
    assert gateway.record(response)["key"] == "free"
    assert gateway.post(chat(), {"authorization": "bearer  secret-free "}).status == 200
    for name in ("api-key", "x-api-key"):
        bare = gateway.post(chat(), {name: "secret-free"})
        assert gateway.record(bare)["key"] == "free"
        assert gateway.get("/v1/models", {name: "secret-free"}).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("name", ["api-key", "x-api-key"])
@pytest.mark.parametrize("empty", ["", " ", "Bearer", "Bearer ", "bearer  "])
def test_an_empty_header_does_not_hide_the_key_beside_it(gateway: Gateway, path: str, name: str, empty: str) -> None:
    headers = {"authorization": empty, "api-key": "", name: "secret-free"}
    body = {"model": "auto", "input": "hi", "prompt": "hi", "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.record(gateway.post(body, headers, path))["key"] == "free"
    assert gateway.get("/v1/models", headers).status == 200


def test_two_keys_with_one_hash_are_refused(tmp_path: Path) -> None:
    twice = [key("free"), {**key("free"), "name": "other", "tokens_per_minute": 1}]
    with pytest.raises(AssertionError, match="did not start"), running(tmp_path, {"auth": {"keys": twice}}):
        pass
    assert "free and other have the same sha256" in (tmp_path / "gateway.log").read_text()


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"authorization": ""}, {"authorization": "secret-free"}, {"authorization": "Bearer"},
        {"authorization": "Bearer secret-fre"}, {"authorization": "Bearer secret-free2"},
        {"authorization": "Basic secret-free"}, {"authorization": "Bearer \xff\xfe"},
        {"x-api-key": "Bearer secret-free"}, {"api-key": "secret-fre"}, {"x-api-key": ""},
        {"authorization": "Bearer nobody", "x-api-key": "secret-free"},
        {"authorization": "Bearer " + hashlib.sha256(b"secret-free").hexdigest()},
    ],
    ids=range(13),
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"])
def test_every_wrong_key_gets_the_same_401(
    gateway: Gateway, student: ScriptedUpstream, headers: dict[str, str], path: str
) -> None:
    response = gateway.post(chat(), headers, path)
    assert response.status == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.body == gateway.post(chat(), {"authorization": "Bearer quite another"}).body
    assert response.error["code"] == "invalid_api_key"
    assert not student.received


def test_models_need_a_key_and_health_and_metrics_do_not(gateway: Gateway) -> None:
    assert gateway.get("/v1/models").status == 401
    assert gateway.get("/v1/models/small").status == 401
    assert gateway.get("/v1/models", as_key("free")).status == 200
    for path in ("/healthz", "/readyz", "/metrics"):
        assert gateway.get(path).status == 200


def test_requests_a_minute(gateway: Gateway, student: ScriptedUpstream) -> None:
    for _ in range(3):
        assert gateway.post(chat(), as_key("few")).status == 200
    response = gateway.post(chat(), as_key("few"))
    assert response.status == 429
    assert response.error["code"] == "rate_limit_exceeded"
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert response.headers["x-ratelimit-limit-requests"] == "3"
    assert response.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(student.received) == 3
    assert gateway.post(chat(), as_key("free")).status == 200


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("student0", "/v1/chat/completions"), ("student1", "/v1/completions"), ("student2", "/v1/responses"),
        ("student3", "/v1/embeddings"),
    ],
)  # fmt: skip
def test_what_is_refused_takes_no_place(gateway: Gateway, student: ScriptedUpstream, name: str, path: str) -> None:
    body = {**chat(), "prompt": "hi", "input": "hi"} if path != "/v1/completions" else {"prompt": "hi"}
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}]
    for model, status in (("big", 403), ("teacher", 403), ("nobody", 404), (7, 400)):
        for _ in range(4):
            assert gateway.post({**body, "model": model}, as_key(name), path).status == status
    if path == "/v1/chat/completions":
        for _ in range(4):
            refused = gateway.post({**body, "messages": image}, as_key(name), path)
            assert (refused.status, refused.error["code"]) == (403, "teacher_not_allowed")
    assert not student.received
    for _ in range(2):
        taken = gateway.post({**body, "model": "student"}, as_key(name), path)
        assert taken.status == 200
    assert gateway.post({**body, "model": "student"}, as_key(name), path).status == 429


def test_tokens_a_minute(gateway: Gateway) -> None:
    for _ in range(2):  # 13 tokens each: after the second the 20 are used
        assert gateway.post(chat(stream=True), as_key("short")).status == 200
    response = gateway.post(chat(), as_key("short"))
    assert (response.status, response.error["code"]) == (429, "rate_limit_exceeded")
    assert response.headers["x-ratelimit-limit-tokens"] == "20"


def test_a_spent_budget_is_429_with_insufficient_quota_also_after_a_restart(gateway: Gateway) -> None:
    for _ in range(2):
        assert gateway.post(chat(model="teacher"), as_key("poor")).status == 200
    for model in ("teacher", "student", "auto"):
        response = gateway.post(chat(model=model), as_key("poor"))
        assert (response.status, response.error["code"]) == (429, "insufficient_quota")
        assert response.error["type"] == "insufficient_quota"
        assert int(response.headers["retry-after"]) <= 31 * 86400
    gateway.stop()
    gateway.start()
    eventually(lambda: gateway.post(chat(), as_key("poor")).status == 429, 10)


def test_over_budget_student_only(gateway: Gateway, student: ScriptedUpstream, teacher: ScriptedUpstream) -> None:
    assert gateway.post(chat(model="auto@0"), as_key("frugal")).headers["x-breakeven-route"] == "teacher"
    teacher.clear()
    for model in ("auto@0", "auto", "student"):
        assert gateway.post(chat(model=model), as_key("frugal")).headers["x-breakeven-route"] == "student"
    for body in (chat(model="teacher"), {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}):
        assert gateway.post(body, as_key("frugal")).error["code"] == "insufficient_quota"
    student.script(*error_answer(500))
    assert gateway.post(chat(), as_key("frugal")).status == 500
    assert not teacher.received


def test_cors_allows_the_listed_origin_and_no_other(gateway: Gateway) -> None:
    wanted = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
    wanted["access-control-request-headers"] = "authorization, content-type"
    preflight = ask(gateway.port, "/v1/chat/completions", headers=wanted, method="OPTIONS")
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "access-control-allow-credentials" not in preflight.headers
    other = {**wanted, "origin": "https://evil.example"}
    refused = ask(gateway.port, "/v1/chat/completions", headers=other, method="OPTIONS")
    assert "access-control-allow-origin" not in refused.headers
    response = gateway.post(chat(stream=True), {**as_key("free"), "origin": "https://app.example.com"})
    assert response.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "x-breakeven-route" in response.headers["access-control-expose-headers"]
    assert response.events


@pytest.mark.parametrize("origin", ["*", "https://*.example.com", "https://app.example.com/"])
def test_cors_takes_exact_origins_only(tmp_path: Path, origin: str) -> None:
    said = pytest.raises(AssertionError, match=r"server\.cors_origins: must be exact origins")
    with said, running(tmp_path, {"server": {"cors_origins": [origin]}}):
        pass


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[Gateway]:
    with running(
        tmp_path, {"server": {"workers": 2}, "auth": {"keys": [key("few", requests_per_minute=10)]}}
    ) as gateway:
        yield gateway


def test_limits_hold_over_all_workers(two_workers: Gateway) -> None:
    time.sleep(2)  # until both are up
    statuses = [two_workers.post(chat(), as_key("few")).status for _ in range(14)]
    assert sorted(statuses) == [200] * 10 + [429] * 4


def test_another_file_of_keys_is_in_force_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_text(json.dumps(key("first")))
    with running(tmp_path, {"auth": {"keys_file": "keys.jsonl"}}) as gateway:
        assert [gateway.post(chat(), as_key(name)).status for name in ("first", "second")] == [200, 401]
        file.write_text(json.dumps(key("second")))
        eventually(lambda: gateway.post(chat(), as_key("second")).status == 200, 30)
        assert gateway.post(chat(), as_key("first")).status == 401
        file.write_text("{")
        eventually(lambda: gateway.metric("config_last_reload_successful") == 0, 30)
        assert "auth.keys_file: line 1 of keys.jsonl: Invalid JSON" in (tmp_path / "gateway.log").read_text()
        assert gateway.post(chat(), as_key("second")).status == 200
        file.write_text(json.dumps(key("third")))
        eventually(lambda: gateway.post(chat(), as_key("third")).status == 200, 30)
