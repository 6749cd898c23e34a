"""How vLLM is started for the student: interpreter, command, environment, and the config that fits it.

Prefix caching and usage details are on, so that cached tokens are counted; tool calls are parsed; nothing
is reported to anyone. See the "engine arguments" and "environment variables" pages of vLLM.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PYTHON_ENV = "BREAKEVEN_VLLM_PYTHON"
# `python -m` imports from its folder first: not from the caller's, nor from one that others can write to.
SERVER_FOLDER = os.path.abspath(os.sep)
_LOG_LINES = 8


class StudentError(ValueError):
    """The student's server can't start, or ended early; the message says why and how to mend it."""


def command(
    model: Path,
    *,
    name: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    cpu: bool = False,
    max_model_len: int | None = None,
    tool_call_parser: str | None = "hermes",
    extra: Sequence[str] = (),
    python: str | None = None,
) -> list[str]:
    """The command that serves `model` under `name`; no tool calls with `tool_call_parser=None`.

    `extra` comes last, so that it overrides. `python` is an interpreter that has vLLM, by default this one.
    """
    made = [python or sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    made += ["--model", str(model), "--served-model-name", name, "--host", host, "--port", str(port)]
    made += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
    if tool_call_parser is not None:
        made += ["--enable-auto-tool-choice", "--tool-call-parser", tool_call_parser]
    if max_model_len is not None:
        made += ["--max-model-len", str(max_model_len)]
    if cpu:
        # Compiling takes over a minute on a CPU and gains nothing there.
        made += ["--dtype", "bfloat16", "--enforce-eager", "--max-num-seqs", "16"]
    return [*made, *extra]


def environment(cpu: bool, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of the server: that of this process (or `base`), no telemetry, no downloads.

    On a CPU vLLM needs to be told its cache's size (GiB); a size set by the caller stays.
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
    """The interpreter to start vLLM with: `python` or this one. Raises StudentError where it has no vLLM."""
    chosen = python or sys.executable
    probe = "import importlib.util as u, sys; sys.exit(0 if u.find_spec('vllm') else 3)"
    try:
        done = subprocess.run(
            [chosen, "-c", probe], cwd=SERVER_FOLDER, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StudentError(f"can't run the interpreter {chosen}: {error}") from None
    if done.returncode == 0:
        return chosen
    if done.returncode != 3:
        raise StudentError(f"{chosen} is no usable Python interpreter: {tail(done.stderr.splitlines())}")
    raise StudentError(
        f"{chosen} has no vLLM: install it in an environment of its own (python3 -m venv vllm-env && "
        "vllm-env/bin/pip install vllm) and name vllm-env/bin/python with --python or the environment variable "
        f"{PYTHON_ENV}"
    )


def config_section(
    *, base_url: str, name: str, max_model_len: int | None, tools: bool = True, hosting_usd_per_hour: float = 0.0
) -> str:
    """The `student:` section of breakeven.yaml for a server that runs."""
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


def tail(lines: Sequence[str]) -> str:
    """The last lines that say something, in one line."""
    said = [line.strip() for line in lines if line.strip()][-_LOG_LINES:]
    return " | ".join(said) or "it said nothing"
