"""No command, answer or log line shows the password of a database, a proxy or an upstream."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from breakeven.gateway.cli.main import main
from breakeven.gateway.cli.serve import _effective
from breakeven.gateway.config.load import load_config
from tests.attack.agreement import GOOD
from tests.contract.gateway import TEACHER_KEY, chat, running

CANARY = "secret-canary"
# Nothing listens there.
DATABASE = f"postgresql+psycopg://owner:{CANARY}@127.0.0.1:1/books?sslpassword={CANARY}&connect_timeout=2"
PROXY = f"http://me:{CANARY}@127.0.0.1:1"
COMMANDS = [
    ["check"],
    ["check", "--live"],
    ["status"],
    ["apply"],
    ["rollback"],
    ["label"],
    ["road"],
    ["road", "audit"],
    ["candidate", "status"],
    ["candidate", "drop"],
    ["candidate", "rollback"],
    ["report"],
    ["plan", "--from-ledger"],
    ["reconcile", "bill.csv"],
    ["invest", "training", "100"],
    ["purge", "--before", "2026-01-01"],
    ["train", "--from-ledger", "--out", "router"],
    ["route", "hello"],
]


def _run(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["breakeven", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_it(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, PROXY)
    monkeypatch.setenv("T_PROXY", PROXY)
    config = {**GOOD, "ledger": {"url": DATABASE}}
    config["student"] = {**GOOD["student"], "base_url": "http://student.invalid/v1", "proxy": {"env": "T_PROXY"}}
    config["teacher"] = {**GOOD["teacher"], "base_url": "https://teacher.invalid/v1"}
    Path("breakeven.yaml").write_text(yaml.safe_dump(config))
    Path("bill.csv").write_text("date,amount\n2026-01-01,1\n")
    _, said = _run(command, monkeypatch, capsys)
    assert said
    assert CANARY not in said
    assert "Traceback" not in said


def test_the_effective_config_has_the_rest_of_the_url(tmp_path: Path) -> None:
    path = tmp_path / "breakeven.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "ledger": {"url": DATABASE}}))
    shown = "postgresql+psycopg://owner:***@127.0.0.1:1/books?sslpassword=***&connect_timeout=2"
    assert _effective(load_config(path))["ledger"]["url"] == shown


def test_a_command_with_an_address_that_has_a_password_does_not_repeat_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.jsonl").write_text(json.dumps({"prompt": "hello"}) + "\n")
    address = f"http://me:{CANARY}@127.0.0.1:1/v1"
    prices = ["--input-usd", "1", "--output-usd", "2", "--max-usd", "1"]
    command = ["distill", "generate", "prompts.jsonl", "--out", "data", "--base-url", address, "--model", "m", *prices]
    code, said = _run([*command, "--i-may-train-on-these-outputs"], monkeypatch, capsys)
    assert code == 2
    assert CANARY not in said
    assert "api-key-env" in said
    assert not Path("data").exists() or not any(CANARY in path.read_text() for path in Path("data").rglob("*.json*"))


def test_a_gateway_behind_a_proxy_with_a_password_never_shows_it(tmp_path: Path) -> None:
    environment = {"T_PROXY": PROXY}
    changes = {"teacher": {"proxy": {"env": "T_PROXY"}, "transport": "auto"}, "routing": {"threshold": 0.0}}
    with running(tmp_path, changes, environment=environment) as gateway:
        assert gateway.post(chat()).status in (200, 502, 503)
        answers = [gateway.get(path).body for path in ("/readyz", "/metrics", "/admin/upstreams", "/admin/policy")]
        shown = gateway.log.read_bytes() + b"".join(answers)
    assert b"127.0.0.1:1" in shown
    assert CANARY.encode() not in shown
    assert TEACHER_KEY.encode() not in shown
