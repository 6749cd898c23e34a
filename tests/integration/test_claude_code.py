"""Claude Code, headless, with the gateway before scripted upstreams that call a tool: both APIs of an upstream."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract import anthropic_like as native
from tests.contract.gateway import Gateway, running
from tests.contract.scripted import DONE, Step, delta, stream, usage_chunk
from tests.support.real import claude_code

WORD, ASKED = "kumquat", "find the word in secret.txt"
ANSWER = f"The word is {WORD}."
# For Claude Code's own name of a model; its short requests of another kind get the same.
MODEL = "claude-sonnet-4-5"


@pytest.fixture(scope="module")
def program() -> str:
    return claude_code()


@pytest.fixture(params=["native", "translate"])
def gateway(request: pytest.FixtureRequest, program: str, tmp_path: Path) -> Iterator[Gateway]:
    changes = {
        "student": {"messages": request.param},
        "routing": {"aliases": {MODEL: "auto"}, "sticky": True},
    }
    folder = tmp_path / "gateway"
    folder.mkdir()
    with running(folder, changes) as gateway:
        yield gateway


def scripts(api: str, arguments: str) -> tuple[list[Step], list[Step]]:
    """An answer that calls the tool Read with these arguments in two pieces, and the last answer."""
    halves = arguments[:9], arguments[9:]
    if api == "native":
        block: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}
        pieces = [
            native.typed("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": half})
            for half in halves
        ]
        begun = native.typed("content_block_start", index=0, content_block=block)
        call = (native.STARTED, begun, *pieces, native.BLOCK_END, native.ended("tool_use"), native.STOP)
        text = (native.STARTED, native.BLOCK, native.piece(ANSWER), native.BLOCK_END, native.ended(), native.STOP)
        return native.message_stream(*call), native.message_stream(*text)
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "Read", "arguments": halves[0]}}
    second = {"index": 0, "function": {"arguments": halves[1]}}
    chunks = [delta("", tool_calls=[first]), delta("", tool_calls=[second]), delta("", finish="tool_calls")]
    return stream(*chunks, usage_chunk(), DONE), stream(delta(ANSWER), delta("", finish="stop"), usage_chunk(), DONE)


def run(program: str, gateway: Gateway, folder: Path) -> dict[str, Any]:
    """What Claude Code prints; it reaches nothing but the gateway."""
    home = folder / "home"
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{gateway.port}", "ANTHROPIC_AUTH_TOKEN": "none",
        "ANTHROPIC_MODEL": MODEL, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1", "DISABLE_AUTOUPDATER": "1",
    }  # fmt: skip
    work = folder / "work"
    work.mkdir()
    (work / "secret.txt").write_text(f"The word is {WORD}.\n")
    command = [program, "-p", ASKED, "--output-format", "json", "--allowedTools", "Read"]
    done = subprocess.run(
        command, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def test_it_calls_a_tool_and_is_routed_and_accounted(program: str, gateway: Gateway, tmp_path: Path) -> None:
    api = gateway.config["student"]["messages"]
    arguments = json.dumps({"file_path": str(tmp_path / "work" / "secret.txt")})
    call, text = scripts(api, arguments)
    # Markers count in this order: the word is in a request only once the tool has read it.
    gateway.student.on(WORD, *text)
    gateway.student.on(ASKED, *call)
    gateway.student.default(*text)
    found = run(program, gateway, tmp_path)
    assert (found["result"], found["is_error"], found["num_turns"]) == (ANSWER, False, 2)
    records = [record for record in gateway.settled() if record["endpoint"] == "messages"]
    assert [(one["route"], one["outcome"]) for one in records] == [("student", "ok")] * len(records)
    assert (records[0]["reason"], records[-1]["reason"], records[-1]["hold"]) == ("easy", "sticky", "tool_call")
    attempts = [attempt for record in records for attempt in record["attempts"]]
    assert sum(attempt["usage"]["output"] for attempt in attempts) == found["usage"]["output_tokens"]
    read = [attempt["usage"]["prompt"] - attempt["usage"]["cached"] for attempt in attempts]
    fresh = found["usage"]["input_tokens"] + found["usage"]["cache_creation_input_tokens"]
    assert sum(read) == fresh
    path = native.MESSAGES if api == "native" else "/v1/chat/completions"
    assert {request.path for request in gateway.student.received} == {path}
    assert gateway.teacher.received == []
