"""`breakeven distill generate` and `evaluate` on files as people have them, with a scripted API."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from tests.support.processes import BREAKEVEN, CHECKOUT
from tests.unit.models.support import generating
from tests.unit.models.support.teacher import completion, serve

SHAREGPT = {"conversations": [{"from": "human", "value": "question 1"}, {"from": "gpt", "value": "old"}]}
OPENAI = {"messages": [{"role": "user", "content": "question 0"}, {"role": "assistant", "content": "old"}]}
ALPACA = {"instruction": "question 2", "input": "", "output": "old"}


def mixed(path: Path) -> Path:
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps([OPENAI, SHAREGPT, ALPACA], indent=1).encode()))
    return path


def test_rows_with_answers_are_asked_again_and_the_old_answers_left_out(tmp_path: Path) -> None:
    with serve(generating.answer) as teacher:
        done = generating.run(teacher, mixed(tmp_path / "mixed.json.gz"), tmp_path / "out", "--eval-share", "0")
        assert done.returncode == 0, done.stderr
        assert sorted(teacher.answered) == ["question 0", "question 1", "question 2"]
        assert "3 rows hold an answer: it is left out, and the teacher is asked again" in done.stderr
    made = generating.rows(tmp_path / "out" / "train.jsonl")
    assert sorted(row["messages"][-1]["content"] for row in made) == [f"answer to question {i}" for i in range(3)]
    assert "old" not in (tmp_path / "out" / "train.jsonl").read_text()


def test_a_bad_row_stops_before_the_first_call_or_is_named_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,category\nquestion 0,a\n,b\nquestion 1,c\n")
    with serve(generating.answer) as teacher:
        done = generating.run(teacher, path, tmp_path / "out")
        assert done.returncode == 2
        assert f"breakeven: {path}: line 3: unknown format" in done.stderr
        assert "Traceback" not in done.stderr
        assert not teacher.bodies
        done = generating.run(teacher, path, tmp_path / "out", "--skip-bad", "--eval-share", "0")
        assert done.returncode == 0, done.stderr
        assert f"skipped: {path}: line 3: unknown format" in done.stderr
        assert "skipped 1 of 3 rows" in done.stderr
        assert sorted(teacher.answered) == ["question 0", "question 1"]
    assert {row["category"] for row in generating.rows(tmp_path / "out" / "train.jsonl")} == {"a", "c"}


def test_half_a_character_in_a_paid_answer_loses_nothing(tmp_path: Path) -> None:
    def broken(body: dict[str, Any]) -> Response:
        top = [{"token": "\ud83d", "logprob": -0.1, "bytes": None, "top_logprobs": []}]
        made = completion("Fine \U0001f600, cut \ud83d", logprobs={"content": top})
        return Response(json.dumps(made), media_type="application/json")

    with serve(broken) as teacher:
        path = generating.prompts(tmp_path, 2)
        done = generating.run(teacher, path, tmp_path / "out", "--eval-share", "0", "--top-logprobs", "1")
    assert done.returncode == 0, done.stderr
    made = generating.rows(tmp_path / "out" / "train.jsonl")
    assert [row["messages"][-1]["content"] for row in made] == ["Fine \U0001f600, cut \ufffd"] * 2
    assert made[0]["teacher_logprobs"][0]["token"] == "\ufffd"


@pytest.mark.parametrize("kind", ["csv", "json.gz"])
def test_evaluate_reads_them_too_and_names_what_it_skips(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"eval.{kind}"
    if kind == "csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows(
                [("question", "answer"), *((f"question {i}", f"answer to question {i}") for i in range(3))]
            )
            writer.writerow(("no answer", ""))
    else:
        mixed(path)
    with serve(generating.answer) as student:
        line = [*BREAKEVEN, "distill", "evaluate", str(path), "--out", str(tmp_path / "out"), "--scorer", "exact"]
        line += ["--student-url", student.url, "--student-model", "small", "--skip-bad"]
        env = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = generating.rows(tmp_path / "out" / "outcomes.jsonl")
    assert [row["student_score"] for row in outcomes] == ([1.0] * 3 if kind == "csv" else [0.0] * 3)
    if kind == "csv":
        assert (
            f"skipped: {path}: line 5: messages: the last must be the assistant's answer, and there is none"
            in done.stderr
        )
        assert "skipped 1 of 4 rows" in done.stderr
