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
_KEY = "  api_key_env: STUDENT_API_KEY  # an environment variable of the gateway that holds the server's key\n"
# Flags that `breakeven student` gives, by the option of its own that sets them; others only pass through.
_OWN = {"--model": "--model", "--served-model-name": "--name", "--host": "--host", "--port": "--port"}
_KEY_ENV = "VLLM_API_KEY"


class StudentError(ValueError):
    """The student's server cannot start or ended early; the message says why and how to fix it."""


def command(
    model: Path | str,
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
    revision: str | None = None,
) -> list[str]:
    """The command line that serves the model directory (or name on the hub) `model` under `name`.

    `revision` is one of the hub; `max_model_len` is the context window in tokens, by default the model's;
    `tool_call_parser` is vLLM's, None to disable tool calls; `enable_thinking` is what the chat template gets where a
    request does not say it, None for its own default, which of a student that was trained here is how it was trained;
    `extra` arguments come last and override others; `python` is an interpreter with vLLM, by default this one.
    """
    made = [python or sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    made += ["--model", str(model), "--served-model-name", name, "--host", host, "--port", str(port)]
    made += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
    if tool_call_parser is not None:
        made += ["--enable-auto-tool-choice", "--tool-call-parser", tool_call_parser]
    if revision is not None:
        made += ["--revision", revision, "--tokenizer-revision", revision]
    if enable_thinking is not None:
        made += ["--default-chat-template-kwargs", json.dumps({"enable_thinking": enable_thinking})]
    if max_model_len is not None:
        made += ["--max-model-len", str(max_model_len)]
    if cpu:
        # Compilation takes over a minute on a CPU, and does not make it faster.
        made += ["--dtype", "bfloat16", "--enforce-eager", "--max-num-seqs", "16"]
    return [*made, *extra]


def environment(cpu: bool, base: Mapping[str, str] | None = None, *, hub: bool = False) -> dict[str, str]:
    """The server's environment variables: those of this process (or `base`), without telemetry, and without downloads
    unless the model is on the `hub`.

    On a CPU vLLM needs a size of the KV cache (GiB) and cores to run on; values that are already set are kept.
    """
    made = dict(os.environ if base is None else base)
    made |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    made |= {"HF_HUB_DISABLE_TELEMETRY": "1"} if hub else {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if cpu:
        made.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        if hasattr(os, "sched_getaffinity"):
            cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
            made.setdefault("VLLM_CPU_OMP_THREADS_BIND", cores)
    return made


def check_extra(extra: Sequence[str]) -> None:
    """Raise StudentError where flags for vLLM contradict what `breakeven student` itself must know."""
    for one in extra:
        own = _OWN.get(one.partition("=")[0].replace("_", "-"))
        if own is not None:
            raise StudentError(f"{one.partition('=')[0]} after --: give {own} before it, to `breakeven student` itself")
    if extra and not extra[0].startswith("-"):
        raise StudentError(f"{extra[0]!r} after --: vLLM's flags begin with --")


def with_whole_paths(extra: Sequence[str]) -> list[str]:
    """Flags for vLLM with the paths in them made absolute, since its working directory is another (see
    `SERVER_FOLDER`): `./folder`, what has a slash and exists, and files that exist.
    """
    return [_whole(one) for one in extra]


def _whole(text: str) -> str:
    name, mark, value = text.partition("=")
    if mark:
        return f"{name}={_whole(value)}"
    is_path = text.startswith(("./", "../")) or ("/" in text and os.path.exists(text)) or os.path.isfile(text)
    return os.path.abspath(text) if is_path else text


def value_of(extra: Sequence[str], flag: str) -> str | None:
    """The value of the last `flag` among flags for vLLM, given as two arguments or with =; None without it."""
    found = None
    for i, one in enumerate(extra):
        name, mark, value = one.partition("=")
        if name.replace("_", "-") == flag:
            found = value if mark else extra[i + 1] if i + 1 < len(extra) else None
    return found


def key_of(extra: Sequence[str], env: Mapping[str, str]) -> str | None:
    """The key that the server will demand: of `--api-key`, or of vLLM's environment variable."""
    return value_of(extra, "--api-key") or env.get(_KEY_ENV) or None


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
    *,
    base_url: str,
    name: str,
    max_model_len: int | None,
    tools: bool = True,
    hosting_usd_per_hour: float = 0.0,
    api_key: bool = False,
) -> str:
    """The `student:` section of breakeven.yaml for a running server, as YAML. `api_key`: it demands one."""
    window = "null" if max_model_len is None else str(max_model_len)
    # A JSON string is a YAML string, whatever the name holds.
    return (
        "student:\n"
        f"  base_url: {base_url}\n"
        f"  model: {json.dumps(name)}\n"
        f"{_KEY if api_key else ''}"
        f"  context_window: {window}\n"
        "  modalities: [text]\n"
        f"  tools: {'true' if tools else 'false'}\n"
        f"  hosting_usd_per_hour: {hosting_usd_per_hour:.2f}  # what this machine costs, used or idle\n"
    )


def tail(lines: Sequence[str]) -> str:
    """The last lines of a log that are not blank, joined into one."""
    written = [line.strip() for line in lines if line.strip()][-_LOG_LINES:]
    return " | ".join(written) or "no output"
