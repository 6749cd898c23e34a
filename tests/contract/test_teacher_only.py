"""A config with only a teacher: everything passes through to it, and is recorded and accounted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, running
from tests.contract.scripted import answer, completion, delta, error_answer, stream, usage_chunk

ADMIN = "the-admin-key"
# The scripted usage: 10 prompt tokens at 10 USD and 3 output tokens at 20 USD a million.
CALL = 160_000_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config: dict[str, Any] = {"student": None, "ledger": {"store_prompts": True}}
    folder = tmp_path_factory.mktemp("teacher-only")
    with running(folder, config, environment={"BREAKEVEN_ADMIN_KEY": ADMIN}) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def fresh_scripts(gateway: Gateway) -> None:
    gateway.teacher.clear()


def admin(gateway: Gateway, path: str) -> Any:
    return json.loads(gateway.get(f"/admin/{path}", {"authorization": f"Bearer {ADMIN}"}).body)


@pytest.mark.parametrize("model", ["auto", "auto@0.9", None])
@pytest.mark.parametrize("streamed", [False, True])
def test_every_routed_request_goes_to_the_teacher(gateway: Gateway, model: str | None, streamed: bool) -> None:
    if streamed:
        gateway.teacher.default(*stream(delta("hello"), delta("", finish="stop"), usage_chunk()))
    body = chat(stream=streamed, **({} if model is None else {"model": model}))
    if model is None:
        del body["model"]
    response = gateway.post(body)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "teacher")
    assert response.headers["x-breakeven-reason"] == "no_student"
    assert "x-breakeven-score" not in response.headers
    assert gateway.teacher.last.json["model"] == "big"
    record = gateway.record(response)
    assert (record["baseline"], sum(record["attempts"][0]["cost"].values())) == (CALL, CALL)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "hi"}),
        ("/v1/responses", {"input": "hi"}),
        ("/v1/embeddings", {"input": "hi"}),
        ("/v1/chat/completions", chat(tools=[{"type": "function", "function": {"name": "f"}}])),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        ),
    ],
)
def test_every_endpoint_and_kind_of_request(gateway: Gateway, path: str, body: dict[str, Any]) -> None:
    response = gateway.post({"model": "auto", **body}, path=path)
    assert (response.status, response.headers["x-breakeven-route"]) == (200, "teacher")


def test_pinning_the_teacher_works_and_a_student_does_not_exist(gateway: Gateway) -> None:
    for name in ("teacher", "big"):
        response = gateway.post(chat(model=name))
        assert (response.status, response.headers["x-breakeven-reason"]) == (200, "pinned")
    refused = gateway.post(chat(model="student"))
    assert (refused.status, refused.json["error"]["code"]) == (404, "model_not_found")
    listed = [one["id"] for one in json.loads(gateway.get("/v1/models").body)["data"]]
    assert listed == ["auto", "teacher", "big"]


def test_a_failure_of_the_teacher_is_the_answer(gateway: Gateway) -> None:
    gateway.teacher.script(*error_answer(429, "slow down", **{"retry-after": "7"}))
    response = gateway.post(chat())
    assert (response.status, response.headers["retry-after"]) == (429, "7")
    assert response.headers["x-breakeven-attempts"] == "1"


def test_the_gateway_says_what_it_has(gateway: Gateway) -> None:
    ready = json.loads(gateway.get("/readyz").body)
    assert (ready["status"], ready["student"], ready["teacher"]) == ("ready", "not configured", "up")
    assert gateway.get("/console").status == 200
    assert admin(gateway, "policy")["threshold"] == 1.0
    assert [one["reason"] for one in admin(gateway, "decisions?limit=1")["decisions"]]


def test_nothing_is_saved_and_the_report_says_what_to_do(gateway: Gateway) -> None:
    gateway.teacher.default(*answer(completion()))
    gateway.post(chat())
    found = eventually(lambda: (one := admin(gateway, "report"))["requests"] and one)
    assert found["teacher_spend_usd"] == found["baseline_upper_bound_usd"] != "0"
    assert (found["hosting_usd"], found["savings_usd"]) == ("0.000000000000", None)
    assert float(found["savings_upper_bound_usd"]) == 0
    command = [sys.executable, "-P", "-m", "breakeven.gateway.cli", "report", "--config", str(gateway.path)]
    said = subprocess.run(command, capture_output=True, text=True, env=gateway.environment, timeout=60)
    assert said.returncode == 0, said.stderr
    assert "Only a teacher is configured" in said.stdout
    assert "plan --from-ledger" in said.stdout
    assert "comparisons" not in said.stdout
    assert "hosting_observed" not in said.stdout
    assert "billed hourly" not in said.stdout


def test_a_student_can_be_added_and_taken_away_while_it_runs(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        both = dict(gateway.config)
        assert gateway.post(chat()).headers["x-breakeven-route"] == "student"
        gateway.path.write_text(yaml.safe_dump({**both, "student": None}))
        eventually(lambda: gateway.post(chat()).headers["x-breakeven-reason"] == "no_student" or None, 15)
        assert not [name for name in gateway.metrics() if 'in_flight{upstream="student"}' in name]
        gateway.path.write_text(yaml.safe_dump(both))
        eventually(lambda: gateway.post(chat()).headers["x-breakeven-route"] == "student" or None, 15)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"road": {"advance": "auto"}}, "road.advance: needs a student"),
        ({"routing": {"start": "share"}}, "routing.start: needs a student"),
        ({"routing": {"escalation": {"probe_tokens": 4}}}, "routing.escalation: needs a student"),
        (
            {"auth": {"keys": [{"name": "a", "sha256": "0" * 64, "over_budget": "student"}]}},
            "auth.keys[0].over_budget: needs a student",
        ),
    ],
)
def test_what_needs_a_student_is_refused(tmp_path: Path, section: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError, match="did not start"), running(tmp_path, {"student": None, **section}):
        pass
    assert said in (tmp_path / "gateway.log").read_text()
