"""The Codex CLI with the configuration of the documentation, before a live gateway and two scripted models."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from docs.client_reference import ALL, CLIENTS, RESPONSES
from tests.integration.clients.drivers import hermetic, snippet
from tests.integration.clients.model import ScriptedModel
from tests.integration.clients.tap import Tap, tap
from tests.support import processes, real

KEY = "sk-of-the-gateway"
# Thresholds in the name of the model, so that the upstream does not depend on what Codex says of this machine.
STUDENT, TEACHER = "auto@1", "auto@0"
TEXT = "says that it is Paris, né Lutetia."
QUIET = """
check_for_update_on_startup = false
[analytics]
enabled = false
[features]
plugins = false
apps = false
"""
# Codex asks again a few times, with growing pauses.
ONCE = ("request_max_retries=0", "stream_max_retries=0")
_SECONDS = 60.0


@dataclass
class Result:
    """The output of `codex exec --json`."""

    code: int
    events: list[dict[str, Any]]
    errors: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The finished items of a kind."""
        items = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return [item for item in items if item["type"] == kind]

    @property
    def said(self) -> str:
        return str(self.of("agent_message")[-1]["text"])

    @property
    def failure(self) -> str:
        return str(next(event for event in self.events if event["type"] == "turn.failed")["error"]["message"])


@dataclass
class Codex:
    """Codex with a home of its own, the gateway that it asks, and what both said to each other."""

    folder: Path
    gateway: processes.Gateway
    student: ScriptedModel
    teacher: ScriptedModel
    tap: Tap
    # Requests of earlier tests.
    before: int

    def run(self, *arguments: str, model: str, settings: tuple[str, ...] = ()) -> Result:
        """`codex exec` with these arguments; `settings` are of its provider."""
        command = [str(real.codex()), "exec", "--json", "--skip-git-repo-check", "--model", model]
        # The only commands are those of the scripted model.
        command += ["--sandbox", "danger-full-access"]
        for setting in settings:
            command += ["-c", f"model_providers.breakeven.{setting}"]
        environment = {**hermetic(self.folder), "CODEX_HOME": str(self.folder / "codex"), "BREAKEVEN_API_KEY": KEY}
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.folder / "work", env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=_SECONDS,
        )  # fmt: skip
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return Result(done.returncode, events, done.stderr)

    def routes(self) -> list[tuple[Any, ...]]:
        """Route and reason of all requests, in order."""
        return [row[:2] for row in self.settled()]

    def settled(self) -> list[tuple[Any, ...]]:
        """All requests, in order: route, reason, outcome; prompt, cached and output tokens, and if complete."""
        self.gateway.metrics()
        tokens = "prompt_tokens, cached_tokens, output_tokens, usage_complete"
        query = f"SELECT route, reason, r.outcome, {tokens} FROM requests r JOIN attempts ON request = id ORDER BY id"
        return self.gateway.sql(query)[self.before :]


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[processes.Gateway, ScriptedModel, ScriptedModel]]:
    with ScriptedModel("student") as student, ScriptedModel("teacher-model") as teacher:
        config = processes.make_config(student.url, teacher.url, routing={"novelty_threshold": 1.0})
        with processes.gateway(tmp_path_factory.mktemp("gateway"), config) as gateway:
            yield gateway, student, teacher


@pytest.fixture
def codex(served: tuple[processes.Gateway, ScriptedModel, ScriptedModel], tmp_path: Path) -> Iterator[Codex]:
    gateway, *models = served
    for model in models:
        model.clear()
    for name in ("codex", "work"):
        (tmp_path / name).mkdir()
    with tap(gateway.port) as between:
        (tmp_path / "codex/config.toml").write_text(snippet("codex.toml", between.url) + QUIET)
        found = Codex(tmp_path, gateway, *models, between, before=0)
        found.before = len(found.settled())
        yield found


@pytest.fixture(params=[(STUDENT, "student", "easy"), (TEACHER, "teacher", "difficult")], ids=["student", "teacher"])
def routed(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """A model for Codex, the route and the reason that it leads to."""
    found: tuple[str, str, str] = request.param
    return found


def at(codex: Codex, route: str) -> ScriptedModel:
    return codex.student if route == "student" else codex.teacher


def test_the_table_claims_what_is_tested_here() -> None:
    (client,) = [client for client in CLIENTS if client.name == "Codex CLI"]
    assert client.checks == ALL
    assert client.endpoints == (RESPONSES,)


def test_a_tool_loop_on_either_route(codex: Codex, routed: tuple[str, str, str]) -> None:
    """The model calls the shell, Codex runs the command, and the second turn has its output, at the same upstream."""
    model, route, reason = routed
    result = codex.run("Run `echo $((6 * 7))`", model=model)
    assert result.code == 0, result.errors
    (command,) = result.of("command_execution")
    assert (command["aggregated_output"], command["exit_code"]) == ("42\n", 0)
    upstream = at(codex, route)
    first, second = upstream.posts("/responses")
    assert first["stream"] is second["stream"] is True
    call, output = second["input"][-2:]
    assert (call["type"], output["type"]) == ("function_call", "function_call_output")
    assert call["call_id"] == output["call_id"]
    assert output["output"].endswith("Output:\n42\n")
    assert result.said == f"{upstream.model} heard: {output['output']}"
    assert codex.routes() == [(route, reason), (route, "sticky")]
    usage = next(event for event in result.events if event["type"] == "turn.completed")["usage"]
    assert [row[2:] for row in codex.settled()] == [("ok", 20, 4, 7, 1)] * 2
    assert [usage[name] for name in ("input_tokens", "cached_input_tokens", "output_tokens")] == [40, 8, 14]


def test_a_session_stays_where_its_first_turn_went(codex: Codex) -> None:
    """The session is known by its id, which Codex sends as a header and as the key of its prompt cache."""
    first = codex.run("What is the capital of France?", model=TEACHER)
    assert first.said == f"teacher-model {TEXT}"
    again = codex.run("resume", "--last", "And of what is Paris the capital?", model=STUDENT)
    assert again.said == f"teacher-model {TEXT}", again.errors
    other = codex.run("What is the capital of France?", model=STUDENT)
    assert other.said == f"student {TEXT}"
    assert codex.routes() == [("teacher", "difficult"), ("teacher", "sticky"), ("student", "easy")]
    lines = [line for head in codex.tap.heads() for line in head.splitlines() if line.startswith("session-id:")]
    assert lines[0] == lines[1] != lines[2]
    keys = [body["prompt_cache_key"] for body in codex.teacher.posts("/responses")]
    assert {f"session-id: {key}" for key in keys} == {lines[0]}


def test_a_websocket_is_refused_at_once_and_http_used(codex: Codex) -> None:
    result = codex.run("What is the capital of France?", model=STUDENT, settings=("supports_websockets=true",))
    assert result.said == f"student {TEXT}", result.errors
    assert [head.split(" ")[0] for head in codex.tap.heads()] == ["get", "post"]
    assert "upgrade: websocket" in codex.tap.heads()[0]
    statuses = [bytes(answered).split(b" ", 2)[1] for _, answered in codex.tap.connections]
    assert statuses == [b"426", b"200"]


def test_an_answer_by_a_schema(codex: Codex, routed: tuple[str, str, str]) -> None:
    model, route, reason = routed
    names = ("city", "country")
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}
    (codex.folder / "schema.json").write_text(json.dumps({**schema, "additionalProperties": False}))
    result = codex.run("Name a city.", "--output-schema", str(codex.folder / "schema.json"), model=model)
    assert json.loads(result.said) == {"city": "Paris", "country": "text"}, result.errors
    assert codex.routes() == [(route, reason)]


@pytest.mark.parametrize(
    ("prompt", "model", "message"),
    [
        ("Please refuse this.", STUDENT, "The prompt is refused."),
        # Codex does not read the error event; that the answer is not complete it sees.
        ("Please break off in the middle.", STUDENT, "stream disconnected before completion"),
        ("What is the capital of France?", "gpt-4", "The model does not exist here"),
    ],
)
def test_a_failure_fails_the_turn(codex: Codex, prompt: str, model: str, message: str) -> None:
    result = codex.run(prompt, model=model, settings=ONCE)
    assert result.code != 0
    assert message in result.failure
    assert result.of("agent_message") == []


def test_nothing_but_the_api_was_asked_for(codex: Codex) -> None:
    """The configuration of the documentation leaves nothing to look up: no lists of models, no other paths."""
    codex.run("What is the capital of France?", model=STUDENT)
    assert [head.split("\r\n")[0] for head in codex.tap.heads()] == ["post /v1/responses http/1.1"]
    assert f"authorization: bearer {KEY}" in codex.tap.heads()[0]
    kinds = {tool["type"] for tool in codex.student.posts("/responses")[0]["tools"]}
    assert kinds == {"function"}, "tools that only the teacher has"
