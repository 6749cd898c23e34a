"""Loading breakeven.yaml: paths are resolved, and faults are reported with the path of their key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from breakeven.gateway.config.load import check_environment, load_config
from breakeven.gateway.errors import ConfigError


def document() -> dict[str, Any]:
    return {
        "student": {"base_url": "http://127.0.0.1:8000/v1", "model": "small"},
        "teacher": {
            "base_url": "https://api.example.com/v1/",
            "model": "big",
            "usd_per_million": {"input": 15.0, "cached_input": 1.5, "output": 60.0},
        },
    }


def write(folder: Path, value: object) -> Path:
    path = folder / "breakeven.yaml"
    path.write_text(yaml.safe_dump(value) if not isinstance(value, str) else value)
    return path


def faults(folder: Path, value: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, value))
    return caught.value.faults


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    value = document() | {"ledger": {"url": "sqlite:///books/ledger.db"}, "routing": {"artifact": "router"}}
    config = load_config(write(tmp_path, value))
    assert config.ledger.url == f"sqlite:///{tmp_path}/books/ledger.db"
    assert config.ledger.journal == f"{tmp_path}/books/ledger.db-journal.d"
    assert config.routing.artifact == f"{tmp_path}/router"
    assert config.teacher.base_url == "https://api.example.com/v1"


def test_the_documented_config_is_valid(tmp_path: Path) -> None:
    text = """
server: {host: 127.0.0.1, port: 8080, workers: 1, max_body_bytes: 33554432, drain_seconds: 60}
student:
  base_url: http://127.0.0.1:8000/v1
  model: my-student
  api_key_env: null
  context_window: null
  modalities: [text]
  tools: true
  max_concurrency: 256
  timeouts: {connect_seconds: 2, first_event_seconds: 60, idle_seconds: 30, total_seconds: 600}
  hosting_usd_per_hour: 1.20
teacher:
  base_url: https://api.example.com/v1
  model: big-teacher
  api_key_env: TEACHER_API_KEY
  usd_per_million: {input: 15.0, cached_input: 1.5, output: 60.0}
routing:
  artifact: null
  threshold: 0.5
  novelty_threshold: 0.99
  sticky: true
  fallback: true
  escalation: null
economics: {investment_usd: 0, hosting_since: 2026-11-01T00:00:00Z}
ledger: {url: "sqlite:///breakeven.db"}
road: {sample: 0.0}
auth: {keys: []}
admin: {key_env: BREAKEVEN_ADMIN_KEY}
"""
    config = load_config(write(tmp_path, text))
    assert str(config.student.hosting_usd_per_hour) == "1.2"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("routing", "treshold"), 0.5, "routing.treshold: unknown key"),
        (("routing", "threshold"), 1.5, "routing.threshold: "),
        (("routing", "threshold"), float("nan"), "routing.threshold: "),
        (("student", "base_url"), "127.0.0.1:8000", "student.base_url: must be an http"),
        (("student", "base_url"), "http://user:secret@host/v1", "student.base_url: must be an http"),
        (
            ("student", "base_url"),
            "http://h/v1?api-version=1",
            "student.base_url: must be a URL without a query; write its parameters under query",
        ),
        (
            ("teacher", "base_url"),
            "http://h/v1/chat/completions/",
            "teacher.base_url: must be the URL before /chat/completions, which the gateway adds",
        ),
        (("teacher", "base_url"), "http://h/v1/messages", "teacher.base_url: must be the URL before /messages"),
        (("teacher", "api_key_env"), "sk-live-123", "teacher.api_key_env: must be the name"),
        (("teacher", "usd_per_million", "input"), -1, "teacher.usd_per_million.input: "),
        (("teacher", "usd_per_million", "input"), "0.0000001", "teacher.usd_per_million.input: "),
        (("economics", "hosting_since"), "2026-11-01T00:00:00", "economics.hosting_since: must carry a time zone"),
        (("auth", "keys"), [{"name": "a", "sha256": "nope"}], "auth.keys[0].sha256: "),
        (("server", "workers"), 0, "server.workers: must be 1 or more"),
        (("server", "workers"), "two", "server.workers: must be a whole number"),
        (("server", "workers"), 1.5, "server.workers: must be a whole number"),
        (("server",), [], "server: must be a mapping of keys to values"),
        (("student", "model"), 7, "student.model: must be text; put quotes around it"),
        (("student", "model"), "", "student.model: must have some text"),
        (("student", "modalities"), "text", "student.modalities: must be a list"),
        (("student", "modalities"), ["smell"], "student.modalities[0]: must be 'text', 'image'"),
        (("student", "tools"), "perhaps", "student.tools: must be true or false"),
        (("routing", "threshold"), "high", "routing.threshold: must be a number"),
        (("economics", "hosting_since"), "soon", "economics.hosting_since: must be a time, such as 2026-11-01T00:00"),
        (("shadow",), {"rate": 0.1}, "shadow: replaced by road; rename its keys: shadow.rate is road.sample"),
        (("road", "sample"), 1.5, "road.sample: must be 1 or less"),
        (("road", "scorer"), "vibes", "road.scorer: is not written as it must be"),
    ],
)
def test_a_fault_is_reported_with_its_path(tmp_path: Path, path: tuple[str, ...], value: object, fault: str) -> None:
    whole = document()
    section = whole
    for key in path[:-1]:
        section = section.setdefault(key, {})
    section[path[-1]] = value
    found = faults(tmp_path, whole)
    assert len(found) == 1
    assert found[0].startswith(fault)
    assert "secret" not in found[0]


def test_a_missing_section_is_reported(tmp_path: Path) -> None:
    value = document()
    del value["teacher"]
    assert faults(tmp_path, value) == ["teacher: missing; it has no default"]


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    value = document() | {"servr": {}, "routing": {"threshold": 2}}
    assert len(faults(tmp_path, value)) == 2


def test_ambiguous_model_names_are_rejected(tmp_path: Path) -> None:
    value = document()
    value["student"]["model"] = "teacher"
    assert "is reserved here" in faults(tmp_path, value)[0]
    value["student"]["model"] = "big"
    assert "are the same" in faults(tmp_path, value)[0]


def test_invalid_yaml_is_reported_with_its_position(tmp_path: Path) -> None:
    assert "line 3" in faults(tmp_path, "student:\n  a: [1,\n")[0]


def test_a_missing_file_is_reported_with_the_option_to_use(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        load_config(tmp_path / "nope.yaml")


def test_a_missing_environment_variable_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = document()
    value["teacher"]["api_key_env"] = "NOT_THERE_KEY"
    config = load_config(write(tmp_path, value))
    monkeypatch.delenv("NOT_THERE_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"teacher\.api_key_env: the environment variable NOT_THERE_KEY is not set"):
        check_environment(config)
    monkeypatch.setenv("NOT_THERE_KEY", "k")
    check_environment(config)
    assert config.teacher.api_key() == "k"
    assert "'k'" not in repr(config)


def test_a_public_address_requires_client_keys(tmp_path: Path) -> None:
    value = document() | {"server": {"host": "0.0.0.0"}}
    with pytest.raises(ConfigError, match=r"auth\.keys: empty"):
        check_environment(load_config(write(tmp_path, value)))
