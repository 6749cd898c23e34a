"""The support desk example end to end, shortened: real training, a real vLLM, a real gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import real
from tests.support.processes import CHECKOUT

_SECONDS = 1500


@pytest.mark.timeout(_SECONDS + 60)
def test_the_example_runs_from_prompts_to_routed_traffic(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "breakeven.models.examples.run_support", str(tmp_path), "--base", str(real.smollm2())]
    line += ["--vllm-python", str(real.vllm_python()), "--train-python", str(real.training_python())]
    line += ["--cases", "600", "--steps", "25", "--batch", "2"]
    env = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    result = json.loads((tmp_path / "result.json").read_text())
    routed = result["routed"]
    assert 0 < routed["teacher_share"] < 1
    # The teacher is always right in this example, so routing cannot be worse than the student alone.
    assert routed["all"] >= routed["student_alone"]
    assert 0 < routed["teacher_usd"] < routed["baseline_usd"]
    assert result["training"]["steps"] == 25
    assert f"Teacher share {routed['teacher_share']:.1%}" in done.stdout
