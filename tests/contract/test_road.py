"""The stages of a workload, from outside: who answers, what is proposed, and what the operator's word does."""

from __future__ import annotations

import contextlib
import json
import random
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import eventually
from tests.contract.gateway import Gateway, chat, merged, running
from tests.contract.road_rows import enter, prompt
from tests.support.processes import BREAKEVEN, ROOT

# No threshold of the operator's, so that stages decide.
CONFIG: dict[str, Any] = {
    "routing": {"threshold": None},
    "road": {"sample": 0.02, "scorer": "exact", "floor": 0.95},
    "ledger": {"store_prompts": True},
    "workloads": ["coding"],
}
AUTO = merged(CONFIG, {"road": {"advance": "auto"}})
# Training has a low priority: a busy machine takes its time.
SECONDS = 180.0
ADMIN = {"BREAKEVEN_ADMIN_KEY": "admin"}
ADMIN_KEY = {"authorization": "Bearer admin"}


def breakeven(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BREAKEVEN, *arguments, "--config", str(gateway.path)],
        capture_output=True, text=True, cwd=ROOT, env=gateway.environment, timeout=120, check=False,
    )  # fmt: skip


def state(gateway: Gateway, workload: str = "default") -> dict[str, Any]:
    found = gateway.get("/admin/road", ADMIN_KEY).json
    return next(dict(one) for one in found["workloads"] if one["workload"] == workload)


def reached(gateway: Gateway, stage: str, workload: str = "default") -> dict[str, Any]:
    return dict(
        eventually(lambda: one if (one := state(gateway, workload))["stage"] == stage else None, seconds=SECONDS)
    )


def routes(gateway: Gateway, *, hard: bool, count: int = 20, **headers: str) -> float:
    """The share of these prompts that the student answers."""
    rng = random.Random(77)
    answers = [gateway.post(chat(prompt(rng, hard=hard)), headers) for _ in range(count)]
    assert {answer.status for answer in answers} == {200}
    return sum(answer.headers["x-breakeven-route"] == "student" for answer in answers) / count


def explained(gateway: Gateway) -> str:
    """What `breakeven route` says of a prompt."""
    done = breakeven(gateway, "route", "tell me of soup")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def thresholds(gateway: Gateway) -> dict[str, float]:
    """The exported thresholds of those workloads whose requests do not all go to the teacher."""
    found = {name: value for name, value in gateway.metrics().items() if name.startswith("breakeven_threshold")}
    return {name.split('"')[1]: value for name, value in found.items()}


@pytest.fixture
def observing(tmp_path: Path) -> Iterator[Gateway]:
    with running(tmp_path, CONFIG, environment=ADMIN) as gateway:
        yield gateway


def test_it_begins_by_sending_everything_to_the_teacher(observing: Gateway) -> None:
    answer = observing.post(chat("hi"))
    named = {name: answer.headers[f"x-breakeven-{name}"] for name in ("route", "reason", "stage", "workload")}
    assert named == {"route": "teacher", "reason": "observe", "stage": "observe", "workload": "default"}
    assert observing.post(chat("hi", model="student")).headers["x-breakeven-route"] == "student"
    # A threshold of the client's own holds whatever the stage is.
    assert observing.post(chat("hi", model="auto@1")).headers["x-breakeven-reason"] == "easy"
    assert observing.post(chat("hi", model="auto@0")).headers["x-breakeven-reason"] == "difficult"


def test_what_is_proposed_goes_live_by_the_operators_word_and_is_rolled_back(observing: Gateway) -> None:
    enter(observing.folder, 320)
    found = reached(observing, "propose")
    assert found["proposal"]["answered"] > 0.4
    assert found["proposal"]["low"] >= 0.95
    assert found["proposal"]["comparisons"] == 320
    # The cheap prompts are the ones that the student can do.
    assert 0.2 < found["proposal"]["bill"] < found["proposal"]["answered"] - 0.1
    assert routes(observing, hard=False) == 0.0
    assert thresholds(observing) == {}
    # What a threshold means is said before its value, which is on a scale of the router's own.
    share, value = found["proposal"]["share"], found["proposal"]["threshold"]
    assert share == pytest.approx(found["proposal"]["answered"], abs=0.02)
    said = f"the hardest {1 - share:.0%} of the measured traffic to the teacher (threshold {value:.4f})"
    assert said in breakeven(observing, "road").stdout

    done = breakeven(observing, "apply")
    assert (done.returncode, done.stderr) == (0, "")
    assert "stage route" in done.stdout
    eventually(lambda: observing.post(chat("hi")).headers["x-breakeven-stage"] != "propose")
    assert routes(observing, hard=False) > 0.5
    assert routes(observing, hard=True) < 0.2
    live = observing.post(chat("hi")).headers
    assert (live["x-breakeven-router"], float(live["x-breakeven-threshold"])) == (
        found["proposal"]["artifact"], pytest.approx(found["proposal"]["threshold"], rel=1e-4),
    )  # fmt: skip
    assert thresholds(observing) == {"default": pytest.approx(value)}
    assert f"\nthreshold  {value:g} (stage " in explained(observing)
    routes(observing, hard=False, count=180)
    harder = re.search(rf"\nthreshold  harder than (\d+)% of your traffic \({value:g}; stage ", explained(observing))
    assert harder is not None
    assert 60 < int(harder[1]) < 100

    done = breakeven(observing, "rollback")
    assert "stage propose; rolled back by the operator" in done.stdout
    eventually(lambda: observing.post(chat("hi")).headers["x-breakeven-stage"] == "propose")
    assert routes(observing, hard=False) == 0.0
    done = breakeven(observing, "rollback")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing is in force" in done.stderr
    assert breakeven(observing, "apply").returncode == 0
    eventually(lambda: observing.post(chat("hi")).headers["x-breakeven-stage"] == "route")


def test_comparisons_without_a_prompt_are_looked_at_once(observing: Gateway) -> None:
    enter(observing.folder, 100, seed=4, prompts=False)
    enter(observing.folder, 320)
    reached(observing, "propose")
    # Each look has its part of the error probability: another one needs new comparisons.
    time.sleep(8)
    with contextlib.closing(sqlite3.connect(observing.folder / "ledger.db", timeout=10)) as connection:
        (document,) = connection.execute("SELECT document FROM road_states WHERE workload = 'default'").fetchone()
    found = json.loads(document)
    assert (found["looks"], found["looked_at"]) == (1, 420)


def test_an_operators_threshold_is_that_of_every_workload(tmp_path: Path) -> None:
    with running(tmp_path, merged(CONFIG, {"routing": {"threshold": 0.4}})) as gateway:
        assert thresholds(gateway) == {"coding": 0.4, "default": 0.4}


def test_nothing_to_apply_is_said(observing: Gateway) -> None:
    done = breakeven(observing, "apply")
    assert (done.returncode, done.stdout) == (2, "")
    assert "workload default: there is no proposal" in done.stderr
    done = breakeven(observing, "apply", "--workload", "nope")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'nope' is none; there are coding, default" in done.stderr


def test_it_goes_on_by_itself_for_each_workload_alone_and_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, AUTO, environment=ADMIN) as gateway:
        enter(tmp_path, 320, workload="coding")
        assert reached(gateway, "route", "coding")["in_force"]["answered"] > 0.4
        coding = {"x-breakeven-workload": "coding"}
        eventually(lambda: gateway.post(chat("hi"), coding).headers["x-breakeven-stage"] == "route")
        assert routes(gateway, hard=False, **coding) > 0.5
        assert routes(gateway, hard=False) == 0.0
        router = gateway.post(chat("hi"), coding).headers["x-breakeven-router"]
        assert gateway.process is not None
        gateway.process.kill()
        gateway.process.wait(10)
        gateway.start()
        eventually(lambda: gateway.post(chat("hi"), coding).headers["x-breakeven-router"] == router)
        assert routes(gateway, hard=False, **coding) > 0.5


def test_without_stored_prompts_it_measures_and_says_what_it_cannot_do(tmp_path: Path) -> None:
    with running(tmp_path, merged(AUTO, {"ledger": {"store_prompts": False}}), environment=ADMIN) as gateway:
        enter(tmp_path, 320, prompts=False)
        found = eventually(lambda: one if (one := state(gateway))["held"] else None, seconds=SECONDS)
        assert found["stage"] == "observe"
        assert found["held"].startswith("ledger.store_prompts is off")
        assert found["retention"]["low"] < 0.7 < found["retention"]["high"]


def test_another_student_is_measured_anew(tmp_path: Path) -> None:
    with running(tmp_path, AUTO, environment=ADMIN) as gateway:
        enter(tmp_path, 320)
        reached(gateway, "route")
        gateway.write_config({"student": {"model": "smaller"}})
        found = reached(gateway, "observe")
        assert "the student is smaller now, and was small" in found["why"]
        assert (found["comparisons"], found["in_force"], found["previous"]) == (0, None, None)


def test_a_floor_that_is_no_longer_kept_sends_everything_to_the_teacher(tmp_path: Path) -> None:
    with running(tmp_path, AUTO, environment=ADMIN) as gateway:
        enter(tmp_path, 320)
        live = reached(gateway, "route")["in_force"]
        enter(tmp_path, 50, artifact=live["artifact"], direction="student_answered", seed=5)
        reached(gateway, "watch")
        enter(tmp_path, 400, artifact=live["artifact"], direction="student_answered", wrong_of_easy=0.6, seed=6)
        found = reached(gateway, "observe")
        assert "no longer kept" in found["why"]
        assert (found["in_force"], found["previous"], found["proposal"]) == (None, None, None)
        eventually(lambda: gateway.post(chat("hi")).headers["x-breakeven-stage"] == "observe")
