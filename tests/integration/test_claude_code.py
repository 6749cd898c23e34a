"""Claude Code, headless, with the gateway before scripted upstreams that call a tool: both APIs of an upstream."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.client_reference import CLIENTS
from tests.contract import anthropic_like as native
from tests.contract.gateway import Gateway, running
from tests.contract.scripted import (
    DONE,
    Head,
    Reset,
    Send,
    Sleep,
    Step,
    delta,
    error_answer,
    stream,
    usage_chunk,
)
from tests.integration.clients.drivers import hermetic, snippet
from tests.support.real import claude_code

WORD, ASKED = "kumquat", "find the word in secret.txt"
ANSWER = f"The word is {WORD}."
PIECES = ("The word ", f"is {WORD}.")
# A name of Anthropic's for a model; its short requests of another kind get the same.
ALIAS = "claude-sonnet-4-5"
SECONDS = 120.0
QUIET = {"DISABLE_TELEMETRY": "1", "DISABLE_ERROR_REPORTING": "1", "DISABLE_AUTOUPDATER": "1"}
# It asks again for minutes otherwise.
ONCE = {"CLAUDE_CODE_MAX_RETRIES": "0", "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1"}
# Model, route and reason: a threshold in the name decides, whatever Claude Code says of this machine.
ROUTED = {
    "alias": (ALIAS, "student", "easy"),
    "student": ("auto@1", "student", "easy"),
    "teacher": ("auto@0", "teacher", "difficult"),
}


@pytest.fixture(scope="module")
def program() -> str:
    return claude_code()


@pytest.fixture(params=["native", "translate"])
def gateway(request: pytest.FixtureRequest, program: str, tmp_path: Path) -> Iterator[Gateway]:
    api = {"messages": request.param}
    changes = {"student": api, "teacher": api, "routing": {"aliases": {ALIAS: "auto"}, "sticky": True}}
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
        spoken = map(native.piece, PIECES)
        text = (native.STARTED, native.BLOCK, *spoken, native.BLOCK_END, native.ended(), native.STOP)
        return native.message_stream(*call), native.message_stream(*text)
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "Read", "arguments": halves[0]}}
    second = {"index": 0, "function": {"arguments": halves[1]}}
    chunks = [delta("", tool_calls=[first]), delta("", tool_calls=[second]), delta("", finish="tool_calls")]
    return stream(*chunks, usage_chunk(), DONE), stream(
        *map(delta, PIECES), delta("", finish="stop"), usage_chunk(), DONE
    )


def run(program: str, gateway: Gateway, folder: Path, *options: str, model: str) -> list[dict[str, Any]]:
    """What Claude Code prints when it runs the command of the documentation; it reaches nothing but the gateway."""
    text = snippet("claude_code.sh", f"http://127.0.0.1:{gateway.port}")
    assert "MODEL=auto " in text
    text = text.replace("MODEL=auto", f"MODEL={model}").replace("What is the capital of France?", ASKED)
    script = f'claude() {{ {shlex.quote(program)} "$@"; }}\n{text.rstrip()} {shlex.join(options)}'
    work = folder / "work"
    work.mkdir()
    (work / "secret.txt").write_text(f"The word is {WORD}.\n")
    done = subprocess.run(
        ["bash", "-euc", f"{script} --output-format stream-json --include-partial-messages --verbose"],
        cwd=work, env={**hermetic(folder / "home"), **QUIET, **ONCE}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert printed, done.stderr
    assert printed[-1]["type"] == "result", done.stdout[-2000:]
    assert (done.returncode != 0) == printed[-1]["is_error"]
    return printed


def pieces(printed: list[dict[str, Any]]) -> tuple[str, ...]:
    """The pieces of text, as Claude Code passes them on while it gets them."""
    deltas = [one["event"].get("delta", {}) for one in printed if one["type"] == "stream_event"]
    return tuple(delta["text"] for delta in deltas if delta.get("type") == "text_delta")


@pytest.mark.parametrize(("model", "route", "reason"), ROUTED.values(), ids=ROUTED)
def test_it_calls_a_tool_and_is_routed_and_accounted(
    program: str, gateway: Gateway, tmp_path: Path, model: str, route: str, reason: str
) -> None:
    api = gateway.config["student"]["messages"]
    upstream, other = gateway.student, gateway.teacher
    if route == "teacher":
        upstream, other = other, upstream
    arguments = json.dumps({"file_path": str(tmp_path / "work" / "secret.txt")})
    call, text = scripts(api, arguments)
    # Markers count in this order: the word is in a request only once the tool has read it.
    upstream.on(WORD, *text)
    upstream.on(ASKED, *call)
    upstream.default(*text)
    printed = run(program, gateway, tmp_path, "--allowedTools", "Read", model=model)
    found = printed[-1]
    assert (found["result"], found["is_error"], found["num_turns"]) == (ANSWER, False, 2)
    assert pieces(printed) == PIECES
    records = [record for record in gateway.settled() if record["endpoint"] == "messages"]
    assert [(one["route"], one["outcome"]) for one in records] == [(route, "ok")] * len(records)
    assert (records[0]["reason"], records[-1]["reason"], records[-1]["hold"]) == (reason, "sticky", "tool_call")
    attempts = [attempt for record in records for attempt in record["attempts"]]
    assert sum(attempt["usage"]["output"] for attempt in attempts) == found["usage"]["output_tokens"]
    read = [attempt["usage"]["prompt"] - attempt["usage"]["cached"] for attempt in attempts]
    fresh = found["usage"]["input_tokens"] + found["usage"]["cache_creation_input_tokens"]
    assert sum(read) == fresh
    path = native.MESSAGES if api == "native" else "/v1/chat/completions"
    assert {request.path for request in upstream.received} == {path}
    assert other.received == []


def test_a_refusal_an_unknown_model_and_a_cut_stream_are_errors(program: str, gateway: Gateway, tmp_path: Path) -> None:
    api = gateway.config["student"]["messages"]
    text = "The prompt is refused."
    refused = native.refusal(400, text) if api == "native" else error_answer(400, text)
    begun = (native.STARTED, native.BLOCK, native.piece("The")) if api == "native" else (delta("The"),)
    cut = [Head(200, {"content-type": "text/event-stream"}), *map(Send, begun), Sleep(0.1), Reset()]
    for name, model, steps, said in (
        ("refused", "student", refused, text),
        ("unknown", "gpt-4", refused, "gpt-4"),
        ("cut", "student", cut, "The connection to the student broke."),
    ):
        gateway.student.default(*steps)
        folder = tmp_path / name
        folder.mkdir()
        result = run(program, gateway, folder, model=model)[-1]
        assert result["is_error"], name
        assert said in result["result"], (name, result)


def test_the_table_claims_what_is_tested_here() -> None:
    (client,) = [client for client in CLIENTS if client.name == "Claude Code"]
    assert client.checks == ("answer", "stream", "tools", "routed", "errors", "tokens")
    assert client.endpoints == (native.MESSAGES,)
