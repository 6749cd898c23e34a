"""The teacher's fallbacks in the config: what is declared, refused, checked, reloaded, limited and paid."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.client import eventually
from tests.contract.fallback_net import ADMIN, Net, net, provider
from tests.contract.gateway import TEACHER_KEY, chat
from tests.contract.scripted import ScriptedUpstream, Sleep, answer, completion, error_answer, stream
from tests.contract.test_escalation import RULE, TEACHER, UNSURE, texts

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
KEY = "sk-client-1"


def run(one: Net, *arguments: str, document: dict[str, Any] | None = None) -> tuple[int, str]:
    """Exit code and output of a command with the net's config, or another document."""
    path = one.gateway.folder / "other.yaml"
    path.write_text(yaml.safe_dump(document or one.gateway.config))
    command = [sys.executable, "-P", "-m", "breakeven.gateway.cli", *arguments, "--config", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, env=one.gateway.environment, timeout=60)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    limits = {"context_window": 1000, "modalities": ["text"], "tools": False}
    keys = [{"name": "poor", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "monthly_budget_usd": 0.001}]
    changes = {"routing": {"escalation": RULE, "aliases": {"big-eu": "teacher"}}, "auth": {"keys": keys}}
    with net(tmp_path_factory.mktemp("gateway"), changes, **limits) as one:
        yield one


@pytest.fixture
def providers(shared: Net) -> Net:
    return shared.clear()


@pytest.fixture(scope="module")
def shared_ledger(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A net in which the first teacher answered once, and `eu` once."""
    with net(tmp_path_factory.mktemp("gateway")) as one:
        one.teacher.script(*error_answer(503))
        for _ in range(2):
            assert one.post().status == 200
        one.gateway.get("/metrics")
        yield one


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"messages": [{"role": "user", "content": [IMAGE]}]}, id="image"),
        pytest.param({"tools": [TOOL]}, id="tools"),
        pytest.param({"max_tokens": 2000}, id="answer-too-long"),
        pytest.param({"messages": [{"role": "user", "content": "word " * 1000}]}, id="prompt-too-long"),
    ],
)
def test_a_provider_that_cannot_take_the_request_is_passed_over(tmp_path: Path, more: dict[str, Any]) -> None:
    with net(tmp_path, context_window=1000, modalities=["text"], tools=False) as one:
        one.teacher.default(*error_answer(503))
        assert one.post().headers["x-breakeven-provider"] == "eu"
        assert one.post({**chat(model="teacher"), **more}).headers["x-breakeven-provider"] == "us"
        assert one.post({**chat(model="auto@0"), **more}).headers["x-breakeven-provider"] == "us"


def test_types_of_tools_and_outputs_are_declared_too(tmp_path: Path) -> None:
    with net(tmp_path, tool_types=["function"], output_modalities=["text"]) as one:
        one.teacher.default(*error_answer(503))
        body = {"tools": [{"type": "web_search"}]}
        one.us.default(*answer({"id": "r", "object": "response", "output": []}))
        assert one.respond(**body).headers["x-breakeven-provider"] == "us"
        one.us.default()
        assert one.post(chat(model="teacher", tools=[TOOL])).headers["x-breakeven-provider"] == "eu"
        sound = chat(model="teacher", modalities=["text", "audio"])
        assert one.post(sound).headers["x-breakeven-provider"] == "us"


def test_one_at_its_limit_of_concurrency_is_passed_over(tmp_path: Path) -> None:
    with net(tmp_path, {"teacher": {"max_concurrency": 1}}) as one:
        one.teacher.script(Sleep(1.0), *answer(completion()))
        with one.gateway.connect() as client:
            client.request("POST", "/v1/chat/completions", json.dumps(chat(model="teacher")).encode())
            one.teacher.wait_for(1)
            assert one.post().headers["x-breakeven-provider"] == "eu"
            assert client.response().status == 200
        assert "x-breakeven-provider" not in one.post().headers


def test_an_escalation_goes_to_the_next_one(tmp_path: Path) -> None:
    with net(tmp_path, {"routing": {"escalation": RULE}}) as one:
        one.student.script(*stream(*UNSURE))
        one.teacher.script(*error_answer(503))
        one.eu.script(*stream(*TEACHER))
        response = one.post(chat(stream=True))
        assert response.headers["x-breakeven-reason"] == "escalated"
        assert response.headers["x-breakeven-provider"] == "eu"
        assert texts(response.body) == "A better answer"


def test_a_budget_is_spent_at_the_prices_of_the_provider(providers: Net) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    assert providers.post(headers=headers).status == 200
    assert providers.post(headers=headers).status == 200
    providers.teacher.script(*error_answer(503))
    assert providers.post(headers=headers).headers["x-breakeven-provider"] == "eu"
    refused = providers.post(headers=headers)
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")


def test_an_alias_gives_a_model_of_theirs_a_name(tmp_path: Path) -> None:
    with net(tmp_path, {"routing": {"aliases": {"big-eu": "teacher"}}}) as one:
        assert one.post(chat(model="big-eu")).status == 200
        assert one.teacher.last.json["model"] == "big"
        for name in ("big-us", "us", "teacher:us"):
            assert one.post(chat(model=name)).error["code"] == "model_not_found"


def test_a_reload_adds_and_removes_them_and_keeps_what_is_unchanged(tmp_path: Path) -> None:
    with net(tmp_path) as one, ScriptedUpstream("big-new") as new:
        gateway = one.gateway
        one.teacher.script(*error_answer(503))
        assert one.post().headers["x-breakeven-provider"] == "eu"
        accepted = one.teacher.accepted, one.eu.accepted
        eu, _ = gateway.config["teacher"]["fallbacks"]
        gateway.write_config({"teacher": {"fallbacks": [provider("new", new.url), eu]}})
        one.teacher.default(*error_answer(503))
        eventually(lambda: one.post().headers.get("x-breakeven-provider") == "new")
        assert 'breakeven_circuit_open{upstream="teacher:us"}' not in gateway.metrics()
        assert gateway.metrics()['breakeven_circuit_open{upstream="teacher:new"}'] == 0
        new.default(*error_answer(503))
        assert one.post().headers["x-breakeven-provider"] == "eu"
        # Their sections are unchanged, and so are their connections.
        assert (one.teacher.accepted, one.eu.accepted) == accepted
        eventually(lambda: one.us.open_connections == 0)
        gateway.write_config({"teacher": {"fallbacks": []}})
        eventually(lambda: one.post().headers.get("x-breakeven-provider") is None)
        assert gateway.get("/readyz").json["teacher_fallbacks"] == []


def test_the_report_tells_providers_apart(shared_ledger: Net) -> None:
    found = shared_ledger.gateway.get("/admin/report", ADMIN).json["by_provider"]
    assert [(row["provider"], row["attempts"], float(row["cost_usd"])) for row in found] == [
        ("teacher", 2, 0.00016), ("eu", 1, 0.0016),
    ]  # fmt: skip
    code, text = run(shared_ledger, "report")
    assert code == 0
    rows = text[text.index("By provider of the teacher") :].splitlines()
    assert [row.replace("│", "").split() for row in rows[4:6]] == [
        ["teacher", "2", "13", "$0.00016"], ["eu", "1", "13", "$0.0016"],
    ]  # fmt: skip
    code, text = run(shared_ledger, "report", "--by", "provider", "--json")
    assert [one["provider"] for one in json.loads(text)["groups"]] == ["-", "eu"]


def test_a_bill_is_reconciled_with_one_provider(shared_ledger: Net) -> None:
    bill = shared_ledger.gateway.folder / "bill.json"
    line = {"startTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "model": "big-eu"}
    bill.write_text(json.dumps([{**line, "prompt_tokens": 10, "completion_tokens": 3, "spend": 0.0016}]))
    code, text = run(shared_ledger, "reconcile", str(bill), "--provider", "eu", "--json")
    assert code == 0, text
    found = json.loads(text)
    assert float(found["total"]["difference_usd"]) == 0
    assert (found["days"][0]["ledger"]["attempts"], found["not_served"]) == (1, [])
    code, text = run(shared_ledger, "reconcile", str(bill), "--provider", "teacher", "--json")
    assert [row["model"] for row in json.loads(text)["not_served"]] == ["big-eu"]
    code, text = run(shared_ledger, "reconcile", str(bill), "--provider", "nobody")
    assert code != 0
    assert "--provider: nobody is no provider of the teacher; choose among teacher, eu, us" in " ".join(text.split())


def edited(one: Net, **changes: Any) -> dict[str, Any]:
    """The config with another first fallback."""
    first, second = one.gateway.config["teacher"]["fallbacks"]
    teacher = {**one.gateway.config["teacher"], "fallbacks": [{**first, **changes}, second]}
    return {**one.gateway.config, "teacher": teacher}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "us"}, "teacher: fallbacks[1].name: us is given twice; each name must be unique"),
        ({"name": "teacher"}, "teacher.fallbacks[0].name: teacher has a meaning of its own; choose another name"),
        ({"name": "a b"}, "teacher.fallbacks[0].name: is not written as it must be"),
        ({"name": None}, "teacher.fallbacks[0].name"),
        ({"usd_per_million": None}, "teacher.fallbacks[0]: give exactly one of usd_per_million"),
        ({"prices_file": "none.json", "usd_per_million": None}, "teacher.fallbacks[0].prices_file"),
        ({"api_key_env": "T_NOT_SET"}, "teacher.fallbacks[0].api_key_env: the environment variable T_NOT_SET"),
        ({"tokenizer": "none.json"}, "teacher.fallbacks[0].tokenizer"),
        ({"colour": "red"}, "teacher.fallbacks[0].colour: unknown key"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(providers: Net, changes: dict[str, Any], said: str) -> None:
    code, text = run(providers, "check", document=edited(providers, **changes))
    assert code == 2
    assert said in text


def test_one_that_is_the_same_as_another_is_refused(providers: Net) -> None:
    teacher, student = (providers.gateway.config[name] for name in ("teacher", "student"))
    same = {name: teacher[name] for name in ("base_url", "model")}
    code, text = run(providers, "check", document=edited(providers, **same))
    assert (code, "fallbacks[0]: the same base_url, model and key as teacher" in text) == (2, True)
    own = {name: student[name] for name in ("base_url", "model", "api_key_env")}
    code, text = run(providers, "check", document=edited(providers, **own))
    assert (code, "teacher.fallbacks[0]: this is the student" in text) == (2, True)


def test_check_prints_them_and_asks_them(providers: Net) -> None:
    code, text = run(providers, "check")
    assert code == 0
    assert [one["name"] for one in yaml.safe_load(text)["teacher"]["fallbacks"]] == ["eu", "us"]
    providers.us.default(*error_answer(401))
    code, text = run(providers, "check", "--live")
    assert code == 1
    assert f"ok    teacher:eu: reached at {providers.eu.url}" in text
    assert "FAIL  teacher:us: it refuses the key (status 401)" in text
    assert TEACHER_KEY not in text
