"""The vLLM server of the student with a real vLLM."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import httpx2
import pytest
import yaml

from breakeven.models.serving import vllm_advice
from breakeven.models.serving.vllm_server import Student, check_python, command, environment
from tests.support import real
from tests.support.processes import BREAKEVEN, CHECKOUT, ROOT, free_port

TOOL = {
    "type": "function",
    "function": {
        "name": "track",
        "description": "Where a parcel is",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
    },
}
BODY = {"messages": [{"role": "user", "content": "Where is parcel 7?"}], "max_tokens": 8, "tools": [TOOL]}


def test_a_real_vllm_starts_serves_and_stops() -> None:
    model, python = real.smollm2(), check_python(str(real.vllm_python()))
    port = free_port()
    argv = command(model, name="s", port=port, cpu=True, max_model_len=1024, python=python)
    with Student(argv, environment(True), host="127.0.0.1", port=port) as student:
        assert student.max_model_len == 1024
        body = {"model": "s", "prompt": "Hello", "max_tokens": 3}
        usage = httpx2.post(f"{student.base_url}/completions", json=body, timeout=100).json()["usage"]
        assert usage["completion_tokens"] == 3
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert student.poll() is None


def test_the_flags_of_the_compose_file_serve_requests_with_tools() -> None:
    service = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["student"]
    flags = [re.sub(r"\$\{\w+:-([\w.-]+)\}", r"\1", one) for one in service["command"] if "--model=" not in one]
    argv = command(real.smollm2(), name="x", port=(port := free_port()), cpu=True, python=str(real.vllm_python()))
    # The same interpreter and the flags for a CPU, and of the rest only what the compose file gives.
    ours = ["--enable-prefix-caching", "--enable-prompt-tokens-details", "--enable-auto-tool-choice"]
    argv = [one for one in argv if one not in (*ours, "--tool-call-parser", "hermes")]
    with Student([*argv, *flags, "--max-model-len=1024"], environment(True), host="127.0.0.1", port=port) as student:
        answer = httpx2.post(f"{student.base_url}/chat/completions", json={"model": "my-student", **BODY}, timeout=100)
        assert answer.status_code == 200, answer.text


@pytest.mark.timeout(400)
def test_the_command_shows_progress_and_passes_flags_to_a_real_vllm() -> None:
    port = free_port()
    line = [*BREAKEVEN, "student", "--model", str(real.smollm2()), "--cpu", "--port", str(port)]
    line += ["--python", str(real.vllm_python()), "--max-model-len", "1024", "--", "--api-key", "secret-key"]
    said, codes = [], []
    with subprocess.Popen(
        line, env={**os.environ, "PYTHONPATH": CHECKOUT}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for printed in process.stdout:
            said.append(printed)
            if "hosting_usd_per_hour" in printed:
                for headers in ({}, {"authorization": "Bearer secret-key"}):
                    url, body = f"http://127.0.0.1:{port}/v1/chat/completions", {"model": "my-student", **BODY}
                    codes.append(httpx2.post(url, json=body, headers=headers, timeout=100).status_code)
                process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, said
    text = "".join(said)
    assert codes == [401, 200]
    assert "s  model: LlamaForCausalLM" in text
    assert "s  weights: 1 of 1 files" in text
    assert "context_window: 1024" in text
    assert "secret-key" not in text


def test_the_parsers_that_are_chosen_are_those_of_vllm() -> None:
    code = (
        "import json; from vllm.tool_parsers import ToolParserManager as T; from vllm.reasoning import "
        "ReasoningParserManager as R; print(json.dumps([T.list_registered(), R.list_registered()]))"
    )
    done = subprocess.run(
        [str(real.vllm_python()), "-c", code], env=environment(True), capture_output=True, text=True, check=True
    )
    tools, reasoning = json.loads(done.stdout.splitlines()[-1])
    chosen = {*vllm_advice._TOOL_PARSERS.values(), vllm_advice._DEFAULT_TOOL_PARSER, "llama3_json"}
    assert chosen <= set(tools)
    assert {*vllm_advice._REASONING_PARSERS.values(), "deepseek_r1"} <= set(reasoning)
