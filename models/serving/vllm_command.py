"""How vLLM is started for the student: interpreter, command line, environment, and the gateway config that matches.

Prefix caching and usage details are on, so that cached tokens are counted; tool calls are parsed; telemetry is off. See
the "engine arguments" and "environment variables" pages of vLLM.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PYTHON_ENV = "BREAKEVEN_VLLM_PYTHON"
# `python -m` imports from its working directory first, which must not be the caller's or writable by others.
SERVER_FOLDER = os.path.abspath(os.sep)
_LOG_LINES = 8


class StudentError(ValueError):
    """The student's server cannot start or ended early; the message says why and how to fix it."""


def command(
    model: Path,
    *,
    name: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    cpu: bool = False,
    max_model_len: int | None = None,
    tool_call_parser: str | None = "hermes",
    enable_thinking: bool | None = None,
    extra: Sequence[str] = (),
    python: str | None = None,
) -> list[str]:
    """The command line that serves the model directory `model` under `name`.

    `max_model_len` is the context window in tokens, by default the model's; `tool_call_parser` is vLLM's, None to
    disable tool calls; `enable_thinking` is what the chat template gets where a request does not say it, None for its
    own default, which of a student that was trained here is how it was trained; `extra` arguments come last and
    override others; `python` is an interpreter with vLLM, by default this one.
    """
    made = [python or sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    made += ["--model", str(model), "--served-model-name", name, "--host", host, "--port", str(port)]
    made += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
    if tool_call_parser is not None:
        made += ["--enable-auto-tool-choice", "--tool-call-parser", tool_call_parser]
    if enable_thinking is not None:
        made += ["--default-chat-template-kwargs", json.dumps({"enable_thinking": enable_thinking})]
    if max_model_len is not None:
        made += ["--max-model-len", str(max_model_len)]
    if cpu:
        # Compilation takes over a minute on a CPU, and does not make it faster.
        made += ["--dtype", "bfloat16", "--enforce-eager", "--max-num-seqs", "16"]
    return [*made, *extra]


def environment(cpu: bool, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The server's environment variables: those of this process (or `base`), without telemetry and downloads.

    On a CPU vLLM needs a size of the KV cache (GiB) and cores to run on; values that are already set are kept.
    """
    made = dict(os.environ if base is None else base)
    made |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    made |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if cpu:
        made.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        if hasattr(os, "sched_getaffinity"):
            cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
            made.setdefault("VLLM_CPU_OMP_THREADS_BIND", cores)
    return made


def check_python(python: str | None) -> str:
    """The interpreter to start vLLM with: `python`, by default this one. Raises StudentError if it has no vLLM."""
    chosen = python or sys.executable
    probe = "import importlib.util as u, sys; sys.exit(0 if u.find_spec('vllm') else 3)"
    try:
        done = subprocess.run(
            [chosen, "-c", probe], cwd=SERVER_FOLDER, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StudentError(f"cannot run the interpreter {chosen}: {error}") from None
    if done.returncode == 0:
        return chosen
    if done.returncode != 3:
        raise StudentError(f"{chosen} is not a usable Python interpreter: {tail(done.stderr.splitlines())}")
    raise StudentError(
        f"{chosen} has no vLLM: install it in an environment of its own (python3 -m venv vllm-env && "
        "vllm-env/bin/pip install vllm) and name vllm-env/bin/python with --python or the environment variable "
        f"{PYTHON_ENV}"
    )


def config_section(
    *, base_url: str, name: str, max_model_len: int | None, tools: bool = True, hosting_usd_per_hour: float = 0.0
) -> str:
    """The `student:` section of breakeven.yaml for a running server, as YAML."""
    window = "null" if max_model_len is None else str(max_model_len)
    # A JSON string is a YAML string, whatever the name holds.
    return (
        "student:\n"
        f"  base_url: {base_url}\n"
        f"  model: {json.dumps(name)}\n"
        f"  context_window: {window}\n"
        "  modalities: [text]\n"
        f"  tools: {'true' if tools else 'false'}\n"
        f"  hosting_usd_per_hour: {hosting_usd_per_hour:.2f}  # what this machine costs, used or idle\n"
    )


def thinking_advice(model: Path, enable_thinking: bool | None) -> str | None:
    """How a student that `distill train` wrote was trained to begin its answers, and which parser of reasoning that
    needs; None for another model.
    """
    try:
        facts = json.loads((model / "training.json").read_text(encoding="utf-8"))
        trained = facts["thinking"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if enable_thinking is not None and enable_thinking is not trained:
        was = "with" if trained else "without"
        return f"note: this student was trained {was} thinking, and is now served otherwise"
    if trained:
        return "this student thinks before it answers: give vLLM the --reasoning-parser of the base model's family"
    return (
        "this student answers without thinking: give vLLM no --reasoning-parser, which would take its answers for "
        "reasoning"
    )


def tail(lines: Sequence[str]) -> str:
    """The last lines of a log that are not blank, joined into one."""
    written = [line.strip() for line in lines if line.strip()][-_LOG_LINES:]
    return " | ".join(written) or "no output"
