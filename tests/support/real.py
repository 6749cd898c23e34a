"""Paths of the real programs that some tests need; a test is skipped where its program is absent.

`tests/install_real.sh` installs them into the folder $BREAKEVEN_REAL, by default ~/.cache/breakeven-real.
$BREAKEVEN_VLLM_PYTHON and $BREAKEVEN_SMOLLM2 name an existing Python with vLLM and an existing model folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx2
import pytest

from breakeven.models.serving.vllm_server import Student, command, environment
from tests.support.processes import Child, answers, free_port, samples

# With BREAKEVEN_CI=1 a skip fails unless its reason names this folder, whose data the tests cannot install.
SHARED = "../shared"
_WARM_UP_SECONDS = 240.0


def cache() -> Path:
    """The folder that tests/install_real.sh installs into."""
    return Path(os.environ.get("BREAKEVEN_REAL") or Path.home() / ".cache" / "breakeven-real")


def vllm_python() -> Path:
    """Path of a Python that can import vLLM; skips the test where there is none."""
    return _existing(Path(os.environ.get("BREAKEVEN_VLLM_PYTHON") or cache() / "vllm/bin/python"), "vLLM")


def training_python() -> Path:
    """Path of a Python with the extra `distill` and pytest; skips the test where there is none."""
    return _existing(Path(os.environ.get("BREAKEVEN_DISTILL_PYTHON") or cache() / "distill/bin/python"), "training")


def quantize_python() -> Path:
    """Path of a Python with the extras `distill` and `quantize`; skips the test where there is none."""
    return _existing(
        Path(os.environ.get("BREAKEVEN_QUANTIZE_PYTHON") or cache() / "quantize/bin/python"), "llmcompressor"
    )


def smollm2() -> Path:
    """The model folder of SmolLM2-135M-Instruct; skips the test where there is none."""
    folder = Path(os.environ.get("BREAKEVEN_SMOLLM2") or cache() / "smollm2")
    _existing(folder / "config.json", "SmolLM2-135M-Instruct")
    return folder


def axe() -> Path:
    """Path of axe-core's script; skips the test where there is none."""
    return _existing(cache() / "axe/node_modules/axe-core/axe.min.js", "axe-core")


def router_program() -> Path:
    """Path of vLLM's router; skips the test where there is none."""
    return _existing(cache() / "vllm-router/bin/vllm-router", "vllm-router")


def program(name: str) -> str:
    """Path of a program of a Debian package, installed or unpacked; skips the test where it is absent."""
    found = shutil.which(name)
    return found or str(_existing(cache() / "debian/usr/bin" / name, name))


def node_modules() -> Path:
    """The folder with the Node package `openai`; skips the test where it or Node is absent."""
    if shutil.which("node") is None:
        _absent("Node", "no program `node` on the PATH")
    folder = cache() / "node/node_modules"
    _existing(folder / "openai/package.json", "the Node package openai")
    return folder


def client_python(folder: str) -> Path:
    """Path of the Python of `clients`, `llama-index`, `anthropic` or `guidellm`; skips the test where it is absent."""
    return _existing(cache() / folder / "bin/python", f"the environment {folder}")


def node_clients() -> Path:
    """The folder with the Node packages of client programs; skips the test where it or Node is absent."""
    if shutil.which("node") is None:
        _absent("Node", "no program `node` on the PATH")
    return _existing(cache() / "node-clients/node_modules", "the Node packages of clients")


def codex() -> Path:
    """Path of the Codex CLI; skips the test where it or Node is absent."""
    return _existing(node_clients() / ".bin/codex", "the Codex CLI")


def claude_code() -> str:
    """Path of Claude Code; skips the test where it is absent."""
    return str(_existing(cache() / "claude/node_modules/.bin/claude", "Claude Code"))


def java(version: str) -> str:
    """Path of the `java` of this version of OpenJDK; skips the test where it or its compiler is absent."""
    found = sorted(Path("/usr/lib/jvm").glob(f"java-{version}-openjdk-*/bin/javac"))
    if not found:
        _absent(f"OpenJDK {version}", "none in /usr/lib/jvm")
    return str(found[0].with_name("java"))


def curl(version: str) -> str:
    """Path of `curl`; skips the test where it is absent or of another version."""
    path = shutil.which("curl")
    if path is None:
        _absent("curl", "no program `curl` on the PATH")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    if not said.startswith(f"curl {version}."):
        _absent(f"curl {version}", f"{path} is {' '.join(said.split()[:2])}")
    return path


def grafana_components() -> Path:
    """The folder with the Node packages of Grafana's components; skips the test where it or Node is absent."""
    if shutil.which("node") is None:
        _absent("Node", "no program `node` on the PATH")
    return _existing(cache() / "grafana/node_modules", "the Node packages of Grafana's components")


def _existing(path: Path, name: str) -> Path:
    if not path.exists():
        _absent(name, f"no {path}")
    return path


def _absent(name: str, why: str) -> NoReturn:
    pytest.skip(f"{name} is absent ({why}); run tests/install_real.sh")


@dataclass(frozen=True)
class Vllm:
    """A vLLM server with SmolLM2, served under the names `student` and `teacher-model`."""

    base_url: str
    stop: Callable[[], None]

    def tokens(self) -> tuple[int, int]:
        """Prompt tokens and generated tokens that vLLM has counted since its start."""
        found = samples(httpx2.get(self.base_url.removesuffix("/v1") + "/metrics", timeout=30.0).text)
        counts = [
            sum(int(v) for k, v in found.items() if k.startswith(f"vllm:{kind}_tokens_total{{"))
            for kind in ("prompt", "generation")
        ]
        return counts[0], counts[1]


@contextlib.contextmanager
def vllm(max_model_len: int = 2048, *, warm: bool = True, more: Sequence[str] = ()) -> Iterator[Vllm]:
    """Run vLLM on a free port, started as by `breakeven student`; takes about 25 s, and 40 s if it is to be `warm`.
    `more`: further arguments.
    """
    served = ["--served-model-name", "student", "teacher-model", *more]
    port = free_port()
    argv = command(
        smollm2(),
        name="student",
        port=port,
        cpu=True,
        max_model_len=max_model_len,
        extra=served,
        python=str(vllm_python()),
    )
    with Student(argv, environment(cpu=True), host="127.0.0.1", port=port) as server:
        # The first request with logprobs takes 18 s, longer than some tests wait.
        body = {"model": "student", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, "logprobs": warm}
        httpx2.post(f"{server.base_url}/chat/completions", json=body, timeout=_WARM_UP_SECONDS).raise_for_status()
        yield Vllm(server.base_url, server.stop)


@contextlib.contextmanager
def vllm_router(log: Path, port: int, *replicas: Vllm) -> Iterator[str]:
    """Run vllm-router on this port in front of `replicas`, each session on one of them; yields its base URL."""
    urls = [one.base_url.removesuffix("/v1") for one in replicas]
    command = [str(router_program()), "--host", "127.0.0.1", "--port", str(port), "--policy", "consistent_hash"]
    command += ["--prometheus-port", str(free_port()), "--worker-startup-check-interval", "1"]
    command += ["--health-check-interval-secs", "1", "--health-failure-threshold", "1", "--worker-urls", *urls]
    child = Child(command, log)
    try:
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/v1/models"))
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        child.stop()
