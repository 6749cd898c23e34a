"""`breakeven distill plan`: students compared by the evaluations of their short runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support.processes import BREAKEVEN, CHECKOUT


def run(folder: Path, name: str, right: list[int], *, rows: int = 40, parameters: int = 100_000_000) -> list[str]:
    """The evaluation and the model directory of a student that is right about these rows."""
    evaluation, model = folder / name, folder / f"{name}-model"
    evaluation.mkdir()
    model.mkdir()
    made = [
        {"id": f"r{n}", "prompt": f"question {n}", "student_score": float(n in right), "teacher_score": 1.0}
        for n in range(rows)
    ]
    (evaluation / "outcomes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    (evaluation / "report.json").write_text(json.dumps({"student": {"seconds_p50": 0.25}}))
    facts = {"student": f"base-{name}", "stages": [{"parameters": parameters, "steps": 60}], "seconds": 90.5}
    (model / "training.json").write_text(json.dumps(facts))
    return [str(evaluation), str(model)]


def plan(*runs: list[str], json_too: bool = False) -> subprocess.CompletedProcess[str]:
    line = [*BREAKEVEN, "distill", "plan", *(one[0] for one in runs)]
    line += [part for one in runs for part in ("--model", one[1])] + (["--json"] if json_too else [])
    env = {**os.environ, "PYTHONPATH": CHECKOUT}
    return subprocess.run(line, capture_output=True, text=True, env=env, timeout=120, check=False)


def test_the_smallest_of_those_not_shown_to_be_worse_is_taken(tmp_path: Path) -> None:
    large = run(tmp_path, "large", list(range(37)), parameters=360_000_000)
    small = run(tmp_path, "small", list(range(36)), parameters=135_000_000)
    tiny = run(tmp_path, "tiny", list(range(10)), parameters=20_000_000)
    done = plan(tiny, large, small)
    assert (done.returncode, done.stderr) == (0, "")
    table = [line for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    assert [line.split(" | ")[0] for line in table] == ["| large", "| small", "| tiny"]
    assert "| large | 360 M | 60 | 90.50 | 0.25 | 92.5% (" in table[0]
    assert table[0].endswith("| best |")
    assert "-2.5 points (" in table[1]
    assert "Take small: the smallest of those that are not shown to be worse than large." in done.stdout
    # A difference of one row in forty has a standard deviation of 15.6 points: 1.96² · 15.6² / 2.5².
    assert "about 150 would tell small from large." in done.stdout
    found: dict[str, Any] = json.loads(plan(tiny, large, small, json_too=True).stdout)
    assert (found["rows"], found["take"]) == (40, "small")
    assert {one["name"]: one["worse"] for one in found["students"]} == {"large": False, "small": False, "tiny": True}
    assert next(one for one in found["students"] if one["name"] == "tiny")["rows_needed"] is None


def test_equal_answers_are_no_proof_that_students_are_equal(tmp_path: Path) -> None:
    first, second = run(tmp_path, "a", [0, 1, 2], rows=4), run(tmp_path, "b", [0, 1, 2], rows=4)
    found = json.loads(plan(first, second, json_too=True).stdout)
    (other,) = (one for one in found["students"] if one["difference"] is not None)
    assert other["difference"]["low"] < -0.3
    assert other["difference"]["high"] > 0.3


def test_what_cannot_be_compared_is_one_line(tmp_path: Path) -> None:
    first = run(tmp_path, "a", [0])
    other = run(tmp_path, "b", [0])
    rows = (tmp_path / "b/outcomes.jsonl").read_text()
    same_ids = run(tmp_path, "c", [0])
    (tmp_path / "c/outcomes.jsonl").write_text(rows.replace("question", "another question"))
    (tmp_path / "b/outcomes.jsonl").write_text(rows.replace('"r', '"other-'))
    (tmp_path / "d").mkdir()
    for runs, said in (
        ((first,), "give the folders of at least two evaluations"),
        ((first, other), "the evaluations have no row in common"),
        ((first, same_ids), "the evaluations are of different rows"),
        ((first, [str(tmp_path / "d"), first[1]]), "d: no evaluation of `breakeven distill evaluate`"),
        ((first, [same_ids[0], str(tmp_path / "d")]), "training.json: cannot be read; is the run finished?"),
    ):
        done = plan(*runs)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr
