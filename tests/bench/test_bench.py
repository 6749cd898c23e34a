"""The benchmark runs: a short run gives every figure. The values themselves are not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from breakeven.router.features import kernel
from tests.bench.decision import compare
from tests.bench.profile import budget

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_a_short_run_gives_all_figures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.run", "--out", str(tmp_path), "--only", "direct,Breakeven"]
    command += ["--seconds", "1", "--rounds", "1", "--streams", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "bench.json").read_text())
    ours = figures["arms"]["Breakeven"]
    for name, workload in ours["workloads"].items():
        assert workload["requests"] > 0, name
        assert workload["failures"] == 0, name
        assert workload["cpu_us_per_request"] > 0, name
    assert 0 < ours["rest_mb"] < 1000
    for at in ("low", "latency"):
        assert ours[at]["failures"] == 0
        assert ours[at]["cpu_us_per_request"] > 0
    assert set(figures["workers"]) == {"1", "2", "1 + 1"}
    assert all(run["failures"] == 0 and run["cpu_us_per_request"] > 0 for run in figures["workers"].values())
    assert (tmp_path / "bench.md").read_text().startswith("# Bench")
    assert (tmp_path / "bench.png").stat().st_size > 1000


@pytest.mark.timeout(300)
def test_a_scaling_run_gives_all_tables(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.scaling", "--out", str(tmp_path)]
    command += ["--seconds", "0.2", "--rows", "1000", "--events", "5", "--keys", "1,50", "--streams", "1,20"]
    command += ["--open", "30", "--open-seconds", "6"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "scaling.md").read_text()
    for row in ("| 64,000 |", "| 20 |", "| 50 |", "| 1,000 | 0.0 |", "| through the gateway | "):
        assert row in page


def test_both_kernels_are_measured() -> None:
    prompts = ["What is the sum of 2 and 37?", "Explain how a settlement works."]
    used = kernel.ngrams
    found = compare(prompts)
    assert set(found) == ({"numpy", "compiled"} if kernel.COMPILED else {"numpy"})
    assert all(microseconds > 0 for microseconds in found.values())
    assert kernel.ngrams is used


def test_a_sample_belongs_to_its_innermost_stage() -> None:
    raw = "Relay.serve (r.py);_Routing.decide (p.py);decision_for (p.py);x (y.py) 3\n"
    raw += "Relay.serve (r.py);admit (p.py);json (j.py) 1\nWriter._run (w.py);Condition.wait (threading.py) 50\n"
    shares = budget(raw)
    assert (shares["decide"], shares["read"], shares["settle"]) == (0.75, 0.25, 0.0)
