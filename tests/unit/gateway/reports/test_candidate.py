"""`breakeven candidate promote` on a ledger alone: what it says is to be written into the config."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from breakeven.gateway.road.candidate import Experiment, Phase
from breakeven.gateway.road.stages import State
from tests.support.processes import BREAKEVEN
from tests.unit.gateway.reports.test_next_student import stored
from tests.unit.gateway.reports.test_plan_from_ledger import filled


@pytest.mark.parametrize("artifact", [False, True])
def test_a_router_in_the_file_is_to_be_changed_with_the_student(tmp_path: Path, artifact: bool) -> None:
    path = filled(tmp_path, [], [])
    settings = yaml.safe_load(path.read_text())
    settings["candidate"] = {**settings["student"], "model": "small-2"}
    if artifact:
        settings["routing"] = {"artifact": "router-of-small"}
    path.write_text(yaml.safe_dump(settings))
    stored(path, Experiment("small-2", "small", "big", "small-2", "small", "exact", Phase.BETTER), State("default"))
    done = subprocess.run(
        [*BREAKEVEN, "candidate", "promote", "--config", str(path)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ("Remove its routing.artifact in the same edit" in done.stdout) is artifact
    assert yaml.safe_load(done.stdout[done.stdout.index("student:\n") :])["student"]["model"] == "small-2"
