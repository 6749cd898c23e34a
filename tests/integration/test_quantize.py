"""`breakeven distill train --quantize` with a real llmcompressor; a real vLLM serves the result."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import httpx2
import pytest

from breakeven.models.serving.vllm_server import Student, command, environment
from tests.support import real
from tests.support.processes import CHECKOUT, ROOT, free_port

# Needs an environment of its own and minutes of calibration: `tests/install_real.sh --quantize && pytest -m large`.
pytestmark = [pytest.mark.timeout(1500), pytest.mark.large]
_PARTS = (
    "import sys; from pathlib import Path; from tests.unit.models.train import tiny; folder = Path(sys.argv[1]); "
    "tiny.model(folder / 'student', layers=2, width=64); tiny.rows(folder / 'train.jsonl', 40)"
)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    line = [str(real.quantize_python()), *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, env=env, timeout=900, check=False)


def train(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    line = ["-m", "breakeven.gateway.cli", "distill", "train", folder / "train.jsonl", "--out", folder / "out", "--cpu"]
    return run(*line, "--student", folder / "student", "--max-steps", "6", "--batch-size", "4", *options)


def test_vllm_serves_a_quantized_student(tmp_path: Path) -> None:
    made = run("-c", _PARTS, tmp_path)
    assert made.returncode == 0, made.stderr[-3000:]
    done = train(tmp_path, "--quantize", "w8a8")
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / "out/w8a8"
    assert done.stdout.splitlines()[-2].startswith(f"{folder}: the same as w8a8, ")
    assert "GPTQ" not in done.stdout, "llmcompressor logs to standard error"
    facts = json.loads((folder / "quantized.json").read_text())
    # The layers shrink to a quarter of float32; embeddings and head, most of a tiny model, stay.
    assert facts["rows"] == 40
    assert facts["bytes"] < 0.6 * facts["bytes_before"]
    before = (folder / "model.safetensors").stat().st_mtime_ns
    again = train(tmp_path, "--quantize", "w8a8")
    assert again.returncode == 0
    assert (folder / "model.safetensors").stat().st_mtime_ns == before, "a rerun changes nothing"
    other = train(tmp_path, "--quantize", "w4a16")
    assert other.returncode == 0, other.stderr[-3000:]
    four = json.loads((tmp_path / "out/w4a16/quantized.json").read_text())
    assert four["group_size"] == 64, "the largest that fits a width of 64"
    assert four["bytes"] < facts["bytes"]
    config = json.loads((tmp_path / "out/w4a16/config.json").read_text())["quantization_config"]
    assert config["config_groups"]["group_0"]["weights"]["num_bits"] == 4
    port = free_port()
    argv = command(folder, name="tiny", port=port, cpu=True, python=str(real.vllm_python()))
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a 1"}], "max_tokens": 6, "temperature": 0}
    with Student(argv, environment(cpu=True), host="127.0.0.1", port=port) as server:
        answer = httpx2.post(f"{server.base_url}/chat/completions", json=body, timeout=240.0)
    assert answer.status_code == 200, answer.text
    assert 1 <= answer.json()["usage"]["completion_tokens"] <= 6
