"""The real programs that some tests need: where they are, and the reason to skip where they are not.

`tests/install_real.sh` puts them into the folder $BREAKEVEN_REAL, by default ~/.cache/breakeven-real.
$BREAKEVEN_VLLM_PYTHON and $BREAKEVEN_SMOLLM2 name a Python with vLLM and a model folder that exist already.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx2
import pytest

from tests.processes import Child, answers, free_port, samples

# The reason of the only skip that BREAKEVEN_CI=1 allows: nobody but their owner can give these data.
NO_SHARED = "../shared with the outcome data is not there"
_VLLM_START_SECONDS = 300.0
_WARM_UP_SECONDS = 240.0


def cache() -> Path:
    """The folder of tests/install_real.sh."""
    return Path(os.environ.get("BREAKEVEN_REAL") or Path.home() / ".cache" / "breakeven-real")


def vllm_python() -> Path:
    """A Python that can import vLLM; skips where there is none."""
    return _existing(Path(os.environ.get("BREAKEVEN_VLLM_PYTHON") or cache() / "vllm/bin/python"), "vLLM")


def smollm2() -> Path:
    """The folder with SmolLM2-135M-Instruct; skips where there is none."""
    folder = Path(os.environ.get("BREAKEVEN_SMOLLM2") or cache() / "smollm2")
    _existing(folder / "config.json", "SmolLM2-135M-Instruct")
    return folder


def program(name: str) -> str:
    """Path of a program of a Debian package, installed or unpacked; skips where it is absent."""
    found = shutil.which(name)
    return found or str(_existing(cache() / "debian/usr/bin" / name, name))


def node_modules() -> Path:
    """The folder with the Node package `openai`; skips where it or Node is absent."""
    if shutil.which("node") is None:
        _absent("Node", "no program `node` on the PATH")
    folder = cache() / "node/node_modules"
    _existing(folder / "openai/package.json", "the Node package openai")
    return folder


def _existing(path: Path, name: str) -> Path:
    if not path.exists():
        _absent(name, f"no {path}")
    return path


def _absent(name: str, why: str) -> NoReturn:
    pytest.skip(f"{name} is absent ({why}); run tests/install_real.sh")


@dataclass(frozen=True)
class Vllm:
    """A vLLM server with SmolLM2; it serves the names `student` and `teacher-model`."""

    base_url: str

    def tokens(self) -> tuple[int, int]:
        """(prompt, generated) tokens that vLLM has counted since its start."""
        found = samples(httpx2.get(self.base_url.removesuffix("/v1") + "/metrics", timeout=30.0).text)
        counts = [
            sum(int(v) for k, v in found.items() if k.startswith(f"vllm:{kind}_tokens_total{{"))
            for kind in ("prompt", "generation")
        ]
        return counts[0], counts[1]


@contextlib.contextmanager
def vllm(folder: Path) -> Iterator[Vllm]:
    """A vLLM on a free port of 127.0.0.1, warmed up. Takes about 40 s; `folder` gets its log."""
    python, model, port = vllm_python(), smollm2(), free_port()
    cores = ",".join(str(core) for core in sorted(os.sched_getaffinity(0)))
    env = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": cores,
    }
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "student", "teacher-model", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--max-model-len", "2048", "--max-num-seqs", "16", "--dtype", "bfloat16", "--enforce-eager"]
    command += ["--enable-prefix-caching", "--enable-prompt-tokens-details"]
    command += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    child = Child(command, folder / "vllm.log", env)
    try:
        server = f"http://127.0.0.1:{port}"
        child.wait_until(lambda: answers(f"{server}/health"), _VLLM_START_SECONDS)
        # The first request with logprobs takes 18 s: no test should have to wait for it.
        body = {"model": "student", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, "logprobs": True}
        httpx2.post(f"{server}/v1/chat/completions", json=body, timeout=_WARM_UP_SECONDS).raise_for_status()
        yield Vllm(f"{server}/v1")
    finally:
        child.stop(seconds=60.0)
