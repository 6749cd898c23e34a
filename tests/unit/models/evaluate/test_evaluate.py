"""`breakeven distill evaluate` as a subprocess, and its measures compared with values computed by hand."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from breakeven.models.client.budget import prices, worst_case
from breakeven.models.data.rows import read
from breakeven.models.errors import BadRows
from breakeven.models.evaluate.measures import percentiles, quality, weaknesses
from breakeven.models.scoring import judge
from breakeven.models.scoring.scorers import scorer
from breakeven.router import outcomes
from tests.support.processes import BREAKEVEN, CHECKOUT, ROOT
from tests.unit.models.support.teacher import Teacher, error, serve


def held_out(folder: Path, count: int = 40, **more: Any) -> Path:
    """A file of `count` sums: small ones, which the scripted student solves, and large ones, which it does not."""
    path = folder / "eval.jsonl"
    rows = []
    for i in range(count):
        n = i if i % 4 else i + 1000
        turns = [
            {"role": "user", "content": f"What is {n} plus 1?"},
            {"role": "assistant", "content": f"It is {n + 1}."},
        ]
        usage = {"prompt_tokens": 12, "output_tokens": 6}
        kind = "common" if i % 4 else "unusual"
        rows.append({"id": f"e{i}", "messages": turns, "category": kind, "teacher_usage": usage, **more})
        rows[-1]["reference"] = str(n + 1)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def student(body: dict[str, Any]) -> str:
    n = int(body["messages"][-1]["content"].split()[2])
    return f"It is {n + 1}" if n < 1000 else "It is 12."


def run(teacher: Teacher, file: Path, out: Path, *options: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    line = [*BREAKEVEN, "distill", "evaluate", str(file), "--out", str(out)]
    line += ["--student-url", teacher.url, "--student-model", "small", *options]
    env = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, capture_output=True, text=True, env=env, timeout=100, check=False, cwd=cwd)


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


def test_a_scorer_gives_retained_quality_weaknesses_and_outcome_rows(tmp_path: Path) -> None:
    file, out = held_out(tmp_path), tmp_path / "out"
    with serve(student, delay=0.05) as teacher:
        options = ("--scorer", "numeric", "--input-usd", "10", "--output-usd", "100", "--hosting-usd-per-hour", "3600")
        done = run(teacher, file, out, *options)
        assert done.returncode == 0, done.stderr
        assert len(teacher.bodies) == 40
        assert run(teacher, file, out, *options).returncode == 0
        assert len(teacher.bodies) == 40, "a rerun sends no requests"
    found = report(out)
    overall, kinds = found["overall"], found["categories"]
    assert (overall["student"], overall["teacher"], overall["losses"]) == (0.75, 1.0, 0.25)
    assert overall["retained"]["value"] == 0.75
    assert 0.55 < overall["retained"]["low"] < 0.75 < overall["retained"]["high"] < 0.95
    assert (kinds["common"]["student"], kinds["unusual"]["student"]) == (1.0, 0.0)
    assert found["student"]["output_tokens"] == 5
    assert 0.05 <= found["student"]["seconds_p50"] <= found["student"]["seconds_p95"]
    # 40 answers of at least 0.05 s, 8 at once, at 1 USD a second.
    assert 0.25 <= float(found["student"]["usd"]) < 2.5
    # 40 answers of 12 prompt and 6 output tokens.
    assert found["teacher"]["usd"] == "0.0288"
    assert [(one["name"], one["rows_to_add_of_100"]) for one in found["next"]] == [("unusual", 100)]
    assert len(found["worst"]) == 10
    assert found["worst"][0]["student"] == "It is 12."
    assert "**75.0% (" in done.stdout
    rows = outcomes.read([out / "outcomes.jsonl"])
    assert sum(row.student_score for row in rows) == 30
    assert {row.split for row in rows} == {"train", "dev", "test"}
    assert rows[0].record["student_tokens"] == 5
    assert rows[0].record["teacher_tokens"] == 6


def test_without_references_the_teachers_answer_is_the_reference(tmp_path: Path) -> None:
    file, out = held_out(tmp_path, 8), tmp_path / "out"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({"id": r["id"], "messages": r["messages"]}) + "\n" for r in rows))
    with serve(student) as teacher:
        done = run(teacher, file, out, "--scorer", "exact")
    assert done.returncode == 0, done.stderr
    assert report(out)["overall"]["student"] == 0.75
    assert report(out)["overall"]["teacher"] == 1.0


def test_a_users_function_can_be_the_scorer(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def half(answer, reference, row):\n    return 0.5 if row['category'] == 'common' else 1.0\n"
        "def wild(answer, reference, row):\n    return 7\n"
    )
    file = held_out(tmp_path, 8)
    with serve(student) as teacher:
        done = run(teacher, file, tmp_path / "out", "--scorer", "mine:half", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert report(tmp_path / "out")["overall"]["student"] == 0.625
        for name, said in (("mine:wild", "number in [0, 1]"), ("mine:no", "has no no"), ("absent:f", "cannot import")):
            wrong = run(teacher, file, tmp_path / "out", "--scorer", name, cwd=tmp_path)
            assert wrong.returncode == 2
            assert said in wrong.stderr
        missing = run(teacher, file, tmp_path / "out", "--scorer", "judge")
        assert missing.returncode == 2
        assert "--judge-url" in missing.stderr


def test_the_judge_stays_within_its_budget_and_is_compared_with_labels(tmp_path: Path) -> None:
    file, out = held_out(tmp_path, 8, label="tie"), tmp_path / "out"

    def script(body: dict[str, Any]) -> Response | str:
        if body["model"] == "small":
            return student(body)
        text = body["messages"][-1]["content"]
        first_is_wrong = text.index("12.") < text.index("[answer B") if "It is 12." in text else None
        a, b = (8, 8) if first_is_wrong is None else (2, 9) if first_is_wrong else (9, 2)
        return json.dumps({"reason": "", "score_a": a, "score_b": b, "winner": "tie" if a == b else "AB"[a < b]})

    options = ("--scorer", "judge", "--judge-model", "judge", "--judge-input-usd", "10", "--judge-output-usd", "10")
    with serve(script) as teacher:
        done = run(teacher, file, out, *options, "--judge-url", teacher.url, "--max-usd", "0.5")
        assert done.returncode == 0, done.stderr
        found = report(out)
        assert found["judge"]["agreement_with_labels"]["agreed"] == 0.75
        assert found["judge"]["agreement_with_labels"]["consistent"] == 1.0
        assert found["cost"]["judge_usd"] == found["cost"]["usd"] == "0.0024"
        assert "agrees with 75.0% of 8 labels" in done.stdout
        assert "breakeven invest evaluation:out 0.0024" in done.stdout
        assert found["overall"]["losses"] == 0.25
        call, _ = judge.calls(judge.Pair([{"role": "user", "content": "What is 1 plus 1?"}], "It is 2", "It is 2."))
        # Enough for the worst case of a call after five calls of 0.00015 USD, but not after ten.
        limit = worst_case(prices("10", "10"), call.prompt_bound(), call.max_tokens) / 1e12 + 0.0008
        small = run(
            teacher, file, tmp_path / "small", *options, "--judge-url", teacher.url, "--max-usd", f"{limit:.6f}"
        )
        assert small.returncode == 3
        assert "raise --max-usd" in small.stderr
        assert 0 < report(tmp_path / "small")["rows"] < 8


def test_a_student_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    with serve(lambda body: error(404, "The model `small` does not exist.")) as teacher:
        done = run(teacher, held_out(tmp_path, 4), tmp_path / "out", "--scorer", "numeric")
    assert done.returncode == 2
    assert "does not exist" in done.stderr


def test_bad_rows_are_an_error_that_names_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    user, assistant = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
    rows = [{"messages": [user, assistant]}, {"prompt": "q", "answer": "a"}, {"messages": [user]}, {"prompt": "q"}, 3]
    rows.append({"messages": [user, {"role": "assistant", "content": None}]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(BadRows, match=r"line 3: messages: the last must be the assistant's.*4 of 6 rows are bad"):
        read([path])
    assert [one.answer for one in read([path], skip_bad=True)] == ["a", "a"]


def test_quality_matches_values_computed_by_hand() -> None:
    found = quality([1, 0.5, 0, 1], [1, 1, 1, 0.5])
    assert (found.student, found.teacher) == (0.625, 0.875)
    assert found.retained.value == pytest.approx(0.625 / 0.875)
    assert found.retained.low <= found.retained.value <= found.retained.high
    assert (found.wins, found.ties, found.losses) == (0.25, 0.25, 0.5)
    few, many = (quality([0.5] * count, [1.0] * count).retained for count in (10, 1000))
    assert few.value == many.value == 0.5
    assert few.low < 0.45 < many.low < 0.5 < many.high < 0.55 < few.high
    with pytest.raises(ValueError, match="nothing to retain"):
        quality([1.0], [0.0])


def test_the_interval_covers_the_true_value_at_its_nominal_rate() -> None:
    import numpy as np

    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(100):
        student = (rng.random(150) < 0.8).astype(float)
        found = quality(list(student), [1.0] * 150)
        hits += found.retained.low <= 0.8 <= found.retained.high
    assert 88 <= hits <= 100


@pytest.mark.parametrize(("rows", "kept"), [(1, 0.9), (1, 0.5), (3, 0.9), (10, 0.95), (30, 0.98)])
def test_the_interval_of_a_few_rows_covers_the_true_value(rows: int, kept: float) -> None:
    import numpy as np

    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        retained = quality(list((rng.random(rows) < kept).astype(float)), [1.0] * rows).retained
        assert retained.high - retained.low > 0.05
        hits += retained.low <= kept <= retained.high
    assert hits >= 0.93 * 400


def test_weaknesses_and_percentiles_match_values_computed_by_hand() -> None:
    found = weaknesses(["a", "a", "b", "c"], [0, 1, 0.5, 1], [1, 0, 1, 1])
    assert [(one.name, one.rows, one.gap) for one in found] == [("a", 2, 0.5), ("b", 1, 0.5)]
    assert [one.share for one in found] == [pytest.approx(2 / 3), pytest.approx(1 / 3)]
    assert percentiles([]) is None
    assert percentiles([1, 2, 3]) == (2, pytest.approx(2.9))


def test_scorers_are_found_by_name() -> None:
    assert scorer("json")('so: {"b": 2, "a": 1}', '{"a": 1, "b": 2}', {}) == 1.0
    assert scorer("row")("about 12", "12", {"checker": "number"}) == 1.0
    assert scorer("row")("about 12", "12", {}) == 0.0
    with pytest.raises(ValueError, match="must be exact"):
        scorer("fuzzy")
    with pytest.raises(ValueError, match="scoring"):
        scorer("numeric")("1", "not a number", {})


def test_invalid_outcome_rows_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    good = {"id": "a", "prompt": "q", "student_score": 0.5, "teacher_score": 1}
    outcomes.write(path, [good])
    with pytest.raises(outcomes.OutcomeError, match="row 2: student_score"):
        outcomes.write(path, [good, {**good, "student_score": 2}])
    assert [row.student_score for row in outcomes.read([path])] == [0.5]
