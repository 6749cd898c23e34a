"""The rules and alerts in deploy/prometheus, checked by promtool and against the exported metrics."""

from __future__ import annotations

import re
import subprocess

import yaml

from docs.generate import pages
from tests.support.processes import ROOT
from tests.support.real import program

FOLDER = ROOT / "deploy/prometheus"


def promtool(*arguments: str) -> str:
    done = subprocess.run([program("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_and_alerts_are_valid() -> None:
    assert "39 rules found" in promtool("check", "rules", "rules.yml")
    assert "25 rules found" in promtool("check", "rules", "alerts.yml")
    promtool("check", "config", "prometheus.yml")


def test_each_alert_fires_exactly_when_it_should() -> None:
    files = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.glob("tests/*.yml"))
    assert promtool("test", "rules", *files).count("SUCCESS") == len(files) == 4


def test_every_alert_is_tested_and_documented() -> None:
    alerts = {rule["alert"] for group in _groups("alerts.yml") for rule in group["rules"]}
    tests = [test for path in FOLDER.glob("tests/*.yml") for test in yaml.safe_load(path.read_text())["tests"]]
    fired = {check["alertname"] for test in tests for check in test.get("alert_rule_test", ()) if check["exp_alerts"]}
    assert fired == alerts
    documented = set(re.findall(r"^\| `(Breakeven\w+)`", (ROOT / "docs/how-to/alerts.md").read_text(), re.MULTILINE))
    assert documented == alerts


def test_rules_use_existing_metrics() -> None:
    known = set(re.findall(r"`(breakeven_\w+)`", pages()["metrics.md"]))
    recorded = {rule["record"] for group in _groups("rules.yml") for rule in group["rules"]}
    for name in ("rules.yml", "alerts.yml"):
        for group in _groups(name):
            for rule in group["rules"]:
                assert set(re.findall(r"\bbreakeven_\w+", rule["expr"])) <= known, rule
                assert set(re.findall(r"\bbreakeven:[\w:]+", rule["expr"])) <= recorded, rule


def _groups(name: str) -> list[dict[str, list[dict[str, str]]]]:
    groups: list[dict[str, list[dict[str, str]]]] = yaml.safe_load((FOLDER / name).read_text())["groups"]
    return groups
