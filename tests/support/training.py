"""Run the training tests in an interpreter that has the extra `distill`.

That is the current one if it has all of it, else the environment that `tests/install_real.sh` makes, which uses the
torch of vLLM's environment.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.support import real
from tests.support.processes import ROOT

NEEDED = ("torch", "transformers", "accelerate", "peft")
HERE = all(importlib.util.find_spec(name) is not None for name in NEEDED)


def run(file: str, seconds: float, packages: tuple[str, ...] = ()) -> None:
    """Run a test file in such an interpreter, for at most `seconds`; skips the test where there is none.

    The same where it lacks one of `packages`. Raises AssertionError if it fails.
    """
    python = sys.executable if HERE else str(real.training_python())
    for name in packages:
        found = subprocess.run(
            [python, "-c", f"import importlib.util as u; raise SystemExit(not u.find_spec({name!r}))"], check=False
        )
        if found.returncode:
            pytest.skip(f"{name} is absent from {python}; run tests/install_real.sh")
    line = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    # The options of this run may be of plugins that the other environment lacks.
    mine = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    env = {**mine, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout, done.stdout
