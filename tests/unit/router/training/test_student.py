"""A router learns from one student's answers, and is refused for another."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from breakeven.gateway.config.load import load_config
from breakeven.gateway.errors import ConfigError
from breakeven.gateway.server.startup import check_services
from breakeven.router.model.artifact import ArtifactError, load
from tests.support.processes import BREAKEVEN, CHECKOUT, make_config


def outcomes(path: Path, *students: str | None) -> Path:
    rows = []
    for i in range(120):
        row = {"id": f"o{i}", "prompt": f"question {i} about {'taxes' if i % 2 else 'parcels'}", "teacher_score": 1.0}
        row |= {"student_score": float(i % 2)}
        name = students[i % len(students)]
        rows.append(row if name is None else row | {"student_model": name})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def breakeven(*line: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1"}
    argv = [*BREAKEVEN, *map(str, line)]
    return subprocess.run(argv, capture_output=True, text=True, env=env, timeout=100, check=False)


def config(folder: Path, student: str) -> Path:
    made = make_config("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1", routing={"artifact": "router"})
    made["student"]["model"] = student
    (folder / "breakeven.yaml").write_text(yaml.safe_dump(made))
    return folder / "breakeven.yaml"


def test_a_router_is_refused_for_a_student_that_it_does_not_know(tmp_path: Path) -> None:
    file = outcomes(tmp_path / "outcomes.jsonl", "support-v1")
    made = breakeven("train", file, "--out", tmp_path / "router")
    assert made.returncode == 0, made.stderr
    assert load(tmp_path / "router").metadata["student"] == "support-v1"
    check_services(load_config(config(tmp_path, "support-v1")))
    with pytest.raises(ConfigError) as caught:
        check_services(load_config(config(tmp_path, "support-v2")))
    (fault,) = caught.value.faults
    assert fault.startswith("routing.artifact: this router learned from the answers of 'support-v1', and student.model")
    assert "is 'support-v2': evaluate that student and train a router for it" in fault
    for command in (
        ("route", "Hi", "--config", tmp_path / "breakeven.yaml"),
        ("tune", file, "--teacher-share", "0.2", "--config", tmp_path / "breakeven.yaml"),
        ("check", "--config", tmp_path / "breakeven.yaml"),
    ):
        said = breakeven(*command)
        assert said.returncode == 2, said.stdout
        assert "learned from the answers of 'support-v1'" in said.stderr
        assert "Traceback" not in said.stderr


def test_rows_of_two_students_train_no_router(tmp_path: Path) -> None:
    said = breakeven("train", outcomes(tmp_path / "outcomes.jsonl", "v1", "v1", "v2"), "--out", tmp_path / "router")
    assert said.returncode == 2
    expected = "the outcome rows are of different students: v1 (80 rows), v2 (40 rows); train a router for each"
    assert said.stderr == f"breakeven: {expected}\n"


def test_rows_that_name_no_student_fit_any(tmp_path: Path) -> None:
    assert breakeven("train", outcomes(tmp_path / "o.jsonl", None), "--out", tmp_path / "router").returncode == 0
    load(tmp_path / "router").check_student("anything")
    with pytest.raises(ArtifactError):
        load(tmp_path / "router")._replace(metadata={"student": "a"}).check_student("b")
