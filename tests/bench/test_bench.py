"""The bench works: a short run gives every figure. Figures themselves are never a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_short_run_gives_every_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.run", "--out", str(tmp_path), "--only", "direct,Breakeven"]
    command += ["--seconds", "1", "--rounds", "1", "--streams", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "bench.json").read_text())
    ours = figures["arms"]["Breakeven"]
    for name, workload in ours["workloads"].items():
        assert workload["requests"] > 0, name
        assert workload["failures"] == 0, name
        assert workload["cpu_us_per_request"] > 0, name
    assert 0 < ours["rest_mb"] < 1000
    assert ours["latency"]["failures"] == 0
    assert (tmp_path / "bench.md").read_text().startswith("# Bench")
    assert (tmp_path / "bench.png").stat().st_size > 1000
