"""Judges of `breakeven distill evaluate`: those that measure nothing, panels, length, and people's labels."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from breakeven.models.scoring.judge import Judgement
from breakeven.models.scoring.panel import together
from tests.unit.models.evaluate.test_evaluate import held_out, report, run, student
from tests.unit.models.scoring.test_judge import shown, verdict
from tests.unit.models.support.teacher import serve

JUDGE = ("--scorer", "judge", "--judge-model", "big-judge")


def right(a: str, b: str) -> str:
    """The verdict of a judge that reads: the student's wrong answer loses."""
    if (a == "It is 12.") == (b == "It is 12."):
        return verdict("tie", 8, 8)
    return verdict("B", 2, 9) if a == "It is 12." else verdict("A", 9, 2)


def by_model(**judges: Callable[[str, str], str]) -> Callable[[dict[str, Any]], Response | str]:
    def script(body: dict[str, Any]) -> Response | str:
        if body["model"] == "small":
            return student(body)
        return judges[body["model"].replace("-", "_")](*shown(body))

    return script


@pytest.mark.parametrize(
    ("kind", "judge"),
    [
        ("first", lambda _a, _b: verdict("A", 9, 4)),
        ("last", lambda _a, _b: verdict("B", 4, 9)),
        ("lot", lambda a, b: verdict("A", 9, 4) if random.Random(a + b).random() < 0.5 else verdict("B", 4, 9)),
    ],
)
def test_a_judge_that_does_not_read_measures_nothing(tmp_path: Path, kind: str, judge: Any) -> None:
    out = tmp_path / "out"
    with serve(by_model(big_judge=judge)) as teacher:
        done = run(teacher, held_out(tmp_path, 60), out, *JUDGE, "--judge-url", teacher.url)
    assert done.returncode == 2
    assert "breakeven: the quality is not measured: the judge big-judge says the same in both orders on" in done.stderr
    assert "the student retains **not measured** of" in done.stdout
    found = report(out)
    assert found["overall"]["retained"] is None
    assert {one["retained"] for one in found["categories"].values()} == {None}
    (said,) = found["judge"]["judges"]
    assert said["reads"] is False
    assert (said["consistency"]["first"], said["consistency"]["last"]) == {"first": (1, 0), "last": (0, 1)}.get(
        kind, (said["consistency"]["first"], said["consistency"]["last"])
    )
    assert not (out / "outcomes.jsonl").exists()


def test_a_panel_leaves_out_a_judge_that_measures_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    judges = by_model(big_judge=right, other=lambda _a, _b: verdict("A", 9, 4), third=right)
    file = held_out(tmp_path, 40)
    with serve(judges) as teacher:
        options = (
            *JUDGE,
            "--judge-url",
            teacher.url,
            "--panel-model",
            "other",
            "--panel-model",
            f"third@{teacher.url}",
        )
        done = run(teacher, file, out, *options, "--panel-rule", "majority")
        assert done.returncode == 0, done.stderr
        calls = len(teacher.bodies)
        assert run(teacher, file, out, *options).returncode == 0
        assert len(teacher.bodies) == calls, "a rerun sends no requests"
        twice = run(teacher, file, out, *options, "--panel-model", "third@" + teacher.url)
        assert "this judge is there twice" in twice.stderr
    assert calls == 40 + 3 * 80
    assert "It is left out of the panel." in done.stdout
    assert "The panel's verdict is the majority of its judges." in done.stdout
    found = report(out)
    assert [one["reads"] for one in found["judge"]["judges"]] == [True, False, True]
    assert found["overall"]["losses"] == 0.25
    assert found["judge"]["judges"][0]["consistency"]["same"]["value"] == 1.0


def test_another_judge_does_not_get_the_verdicts_of_the_one_before(tmp_path: Path) -> None:
    file, out = held_out(tmp_path, 8), tmp_path / "out"
    judges = by_model(big_judge=right, other=lambda _a, _b: verdict("tie", 5, 5))
    with serve(judges) as teacher:
        assert run(teacher, file, out, *JUDGE, "--judge-url", teacher.url).returncode == 0
        assert report(out)["overall"]["losses"] == 0.25
        assert run(teacher, file, out, *JUDGE[:-1], "other", "--judge-url", teacher.url).returncode == 0
    assert report(out)["overall"]["losses"] == 0.0


def test_labels_of_people_correct_the_retained_quality(tmp_path: Path) -> None:
    # The checker finds everything right; people find the teacher's answer better in the unusual fourth.
    file, out = held_out(tmp_path, 160), tmp_path / "out"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for number, row in enumerate(rows):
        if number < 120:
            row["label"] = "teacher" if row["category"] == "unusual" else "tie"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text("def kind(answer, reference, row):\n    return 1.0\n")
    with serve(student) as teacher:
        done = run(teacher, file, out, "--scorer", "mine:kind", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    overall = report(out)["overall"]
    assert overall["retained"]["value"] == 1.0
    assert overall["corrected"]["labels"] == 120
    assert overall["corrected"]["retained"]["value"] == pytest.approx(0.75)
    assert 0.6 < overall["corrected"]["retained"]["low"] < 0.7 < 0.8 < overall["corrected"]["retained"]["high"] < 0.9
    assert "Corrected by 120 labels of people: **75.0% (" in done.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"label": "both"}, "row e0: label must be student, teacher or tie"),
        ({"label": "tie", "label_probability": 0}, "row e0: label_probability must be above 0 and at most 1"),
        ({"label": "tie", "label_probability": "often"}, "row e0: label_probability must be above 0 and at most 1"),
    ],
)
def test_a_bad_label_is_refused_before_anything_is_paid_for(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with serve(student) as teacher:
        done = run(teacher, held_out(tmp_path, 4, **more), tmp_path / "out", "--scorer", "numeric")
        assert (done.returncode, done.stderr) == (2, f"breakeven: {said}\n")
        assert teacher.bodies == []


def of(winner: Any, student: float, teacher: float, *, consistent: bool = True) -> Judgement:
    return Judgement(winner, student, teacher, consistent, "")


def test_panels_match_values_computed_by_hand() -> None:
    first = [of("student", 0.8, 0.6), of("teacher", 0.2, 0.8), None, None]
    second = [of("teacher", 0.5, 0.6), of("tie", 0.7, 0.7, consistent=False), of("tie", 0.5, 0.5), None]
    third = [of("teacher", 0.4, 0.8), of("student", 0.9, 0.8), of("teacher", 0.1, 0.3), None]
    mean = together([first, second, third], "mean")
    assert mean[0] is not None
    assert (mean[0].winner, mean[0].student_score, mean[0].teacher_score) == (
        "teacher", pytest.approx(1.7 / 3), pytest.approx(2.0 / 3),
    )  # fmt: skip
    assert [None if one is None else one.consistent for one in mean] == [True, False, True, None]
    majority = together([first, second, third], "majority")
    assert majority[0] is not None
    assert (majority[0].winner, majority[0].student_score) == ("teacher", pytest.approx(0.45))
    assert majority[1] is not None
    # Each says something else.
    assert (majority[1].winner, majority[1].student_score) == ("tie", majority[1].teacher_score)
    # One of two is no majority.
    assert majority[2] is not None
    assert majority[2].winner == "tie"
    assert majority[3] is None
    assert together([first[:1]], "majority") == first[:1]
