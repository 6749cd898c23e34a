"""The bench of the road on synthetic rows: what it measures is right, and it gives the same twice."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.bench.road import figures, page
from tests.bench.road.learners import Fast
from tests.bench.road.play import Player, Run
from tests.bench.road.source import Source, both
from tests.unit.gateway.road.conftest import comparisons


def source(name: str, seed: int, worse: tuple[float, float] = (0.01, 0.6)) -> Source:
    rows = comparisons(400, seed, worse)
    student, teacher = np.array([row.student for row in rows]), np.array([row.teacher for row in rows])
    return Source(name, [row.text for row in rows], student, teacher)


def test_a_run_hands_over_what_keeps_the_floor_and_is_the_same_twice() -> None:
    rows = source("synthetic", 1)
    first, second = (Player(Fast(), 0.95, 3).play(rows, [(1200, 0, 400)]) for _ in range(2))
    assert (first.by_student == second.by_student).all()
    assert first.live == second.live
    assert first.live, "six in ten prompts are easy"
    assert not first.by_student[: first.live[0].request].any()
    assert all(one.kept >= 0.95 for one in first.live)
    assert first.hindsight >= first.live[-1].share - 0.1
    assert first.cost() == (~first.by_student).sum() + first.paid_twice.sum()
    assert [stage for _, stage, _ in first.stages][:2] == ["route", "watch"]


def test_the_best_share_in_hindsight_is_the_largest_under_the_floor() -> None:
    rows = Source("", [], np.array([1.0, 0.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    assert rows.largest_share(np.array([0.1, 0.4, 0.2, 0.3]), 0.95) == 0.5
    assert rows.largest_share(np.array([0.1, 0.4, 0.2, 0.3]), 0.75) == 0.75
    assert rows.kept(np.array([True, True, False, False])) == 0.75


def test_intervals_are_those_of_the_books() -> None:
    none = figures.share_of([False] * 200)
    assert none.low == 0.0
    assert none.high == pytest.approx(1.0 - 0.025 ** (1 / 200))
    found = figures.median_of(np.array([300.0, 375.0, math.inf]))
    assert (found.value, found.high) == (375.0, None)
    assert figures.mean_of(np.array([2.0, 2.0])) == figures.Figure(2.0, 2.0, 2.0)


def test_drift_is_held_again_once_the_teacher_answers() -> None:
    by_student = np.arange(3000) < 1600
    student = np.where(np.arange(3000) < 1500, 1.0, 0.0)
    run = Run(
        by_student, np.zeros(3000, dtype=bool), student, np.ones(3000), [], [(1600, "observe", "changed")], 0.0, []
    )
    assert figures._after(run, 1500, 0.95) == (True, 100.0)
    late = run._replace(by_student=np.arange(3000) < 2900, stages=[])
    assert figures._after(late, 1500, 0.95) == (False, math.inf)


def test_both_sources_are_played_one_after_the_other() -> None:
    first, second = source("one", 2), source("two", 3, (0.9, 0.9))
    run = Player(Fast(), 0.95, 1).play(both(first, second), [(600, 0, 400), (600, 400, 800)])
    assert run.student[:600].mean() > 0.6
    assert run.student[600:].mean() < 0.2


def test_the_page_has_every_figure(tmp_path: Path) -> None:
    both_sources = [source("synthetic", 4), source("another", 5)]
    played = list(figures.promise(both_sources, 2, 600, real=False, workers=1))
    found = page.Figures({"promise": [*played], "ranking": []})
    found.parts["ranking"].append(figures.Ranking("synthetic", 300, 1, 100, figures.Figure(0.7, 0.6, None)))
    (tmp_path / "road.md").write_text(f"before {page.BEGIN} replaced {page.END} after")
    page.write(tmp_path, found)
    text = (tmp_path / "road.md").read_text()
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert "| synthetic | 0.98 | stand-in | 2 |" in text
    assert "0.700 [0.600, never]" in text
    assert "replaced" not in text
    assert page.read(tmp_path) == found
    assert [(one.source, one.floor) for one in played] == [
        ("synthetic", 0.95),
        ("synthetic", 0.98),
        ("another", 0.95),
        ("another", 0.98),
        ("together", 0.95),
        ("together", 0.98),
    ]
    assert [one.runs for one in played] == [2, 2, 2, 2, 4, 4]
