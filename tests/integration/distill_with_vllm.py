"""A real vLLM serves the models trained by each method; training with two processes works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from breakeven.models.serving.vllm_server import Student, command, environment
from tests.support import real
from tests.support.processes import CHECKOUT, free_port
from tests.unit.models.train import tiny

pytestmark = pytest.mark.timeout(900)
METHODS = ("sft", "logit", "feature", "progressive")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distill")
    tiny.model(folder / "teacher", layers=4, width=64, seed=1)
    tiny.model(folder / "student", layers=2, width=64)
    tiny.rows(folder / "train.jsonl", 32)
    tiny.rows(folder / "eval.jsonl", 8, start=100)
    return folder


def train(parts: Path, out: Path, method: str, *launcher: str) -> dict[str, object]:
    line = [sys.executable, *launcher, "-m", "breakeven.gateway.cli", "distill", "train", str(parts / "train.jsonl")]
    line += ["--eval", str(parts / "eval.jsonl"), "--out", str(out), "--method", method, "--cpu", "--max-steps", "6"]
    line += ["--batch-size", "4", "--learning-rate", "0.01", "--teacher", str(parts / "teacher")]
    line += ["--layers", "2,1"] if method == "progressive" else ["--student", str(parts / "student")]
    env = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    facts: dict[str, object] = json.loads((out / "training.json").read_text())
    return facts | {"stdout": done.stdout}


@pytest.mark.parametrize("method", METHODS)
def test_vllm_serves_the_trained_model(parts: Path, tmp_path: Path, method: str) -> None:
    python = str(real.vllm_python())
    train(parts, tmp_path / "out", method)
    port = free_port()
    argv = command(tmp_path / "out", name="tiny", port=port, cpu=True, python=python)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a 1"}], "max_tokens": 6, "temperature": 0}
    with Student(argv, environment(cpu=True), host="127.0.0.1", port=port) as server:
        answer = httpx2.post(f"{server.base_url}/chat/completions", json=body, timeout=240.0)
    assert answer.status_code == 200, answer.text
    assert server.max_model_len == 256
    assert 1 <= answer.json()["usage"]["completion_tokens"] <= 6


@pytest.mark.parametrize("method", ["logit", "feature"])
def test_two_processes_train_together(parts: Path, tmp_path: Path, method: str) -> None:
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_addr", "127.0.0.1")
    facts = train(parts, tmp_path / "out", method, *launcher, "--master_port", str(free_port()))
    (stage,) = facts["stages"]
    assert stage["steps"] == 6
    assert stage["eval_loss"] < stage["eval_loss_before"]
    assert str(facts["stdout"]).count("a model directory; serve it with") == 1, "only the first process prints"
