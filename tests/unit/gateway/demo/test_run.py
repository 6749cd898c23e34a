"""The demo's figures equal those computed from the outcome file alone."""

from __future__ import annotations

import gzip
import json
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from breakeven.router.model.artifact import load
from tests.support.processes import BREAKEVEN


def demo(*arguments: str) -> dict[str, Any]:
    command = [*BREAKEVEN, "demo", "--once", "--json", "--port", "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tokens(text: str) -> int:
    """About four characters a token: the estimate of models/replay/answers.py for rows without counts."""
    return max(1, -(-len(text) // 4))


def expected(rows: list[dict[str, Any]], share: float) -> dict[str, Any]:
    """The expected figures, at the default prices of the demo."""
    assess = load().assess
    scored = sorted(rows, key=lambda row: assess(row["prompt"]).score, reverse=True)
    threshold = assess(scored[round(share * len(rows)) - 1]["prompt"]).score
    spend = bound = truth = Decimal(0)
    counts = {"student": 0, "teacher": 0}
    quality = 0.0
    for row in rows:
        side = "teacher" if assess(row["prompt"]).score >= threshold else "student"
        costs = {
            who: (
                Decimal(15) * tokens(row["prompt"])
                + Decimal(60) * row.get(f"{who}_tokens", tokens(row[f"{who}_response"]))
            )
            / 1_000_000
            for who in counts
        }
        bound += costs[side]
        truth += costs["teacher"]
        spend += costs[side] if side == "teacher" else 0
        counts[side] += 1
        quality += row[f"{side}_score"]
    best = sum(row["teacher_score"] for row in rows)
    return {"spend": spend, "bound": bound, "truth": truth, "counts": counts, "quality_kept": quality / best}


def check(figures: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert figures["failed"] == 0
    assert {side: figures["upstreams"][side]["requests"] for side in ("student", "teacher")} == wanted["counts"]
    paid = Decimal(figures["teacher_spend_usd"])
    assert paid - Decimal(figures["shadow_spend_usd"]) == wanted["spend"]
    assert Decimal(figures["baseline_upper_bound_usd"]) == wanted["bound"]
    hosting = Decimal(figures["hosting_usd"])
    assert 0 < hosting < Decimal("0.1")
    assert Decimal(figures["savings_upper_bound_usd"]) == wanted["bound"] - paid - hosting
    # What the known answers of the teacher give.
    assert Decimal(figures["baseline_by_teacher_answers_usd"]) == wanted["truth"]
    assert Decimal(figures["savings_by_teacher_answers_usd"]) == wanted["truth"] - paid - hosting
    assert (figures["payback_at"], figures["projection"]) == (None, None)
    assert figures["quality_kept"] == pytest.approx(wanted["quality_kept"])


def outcome_file(path: Path, count: int) -> list[dict[str, Any]]:
    rows = [
        {
            "id": str(number),
            "prompt": f"Question {number}: " + "why " * (number % 12),
            "student_score": number % 2,
            "teacher_score": 1,
            "student_response": "short " * (3 * number % 40 + 1),
            "teacher_response": "long " * (2 * number % 30 + 1),
            **({"teacher_tokens": 77} if number == 3 else {}),
        }
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def test_a_small_outcome_file_has_no_savings_but_what_they_are_at_most(tmp_path: Path) -> None:
    rows = outcome_file(tmp_path / "outcomes.jsonl", 12)
    figures = demo("--outcomes", str(tmp_path / "outcomes.jsonl"), "--teacher-share", "0.5")
    check(figures, expected(rows, 0.5))
    assert (figures["savings_usd"], figures["compared_pairs"], figures["compared_pairs_needed"]) == (None, 12, 38)


def test_where_every_answer_is_compared_savings_are_those_by_the_teachers_answers(tmp_path: Path) -> None:
    rows = outcome_file(tmp_path / "outcomes.jsonl", 120)
    figures = demo("--outcomes", str(tmp_path / "outcomes.jsonl"), "--teacher-share", "0.25")
    check(figures, expected(rows, 0.25))
    assert figures["compared_pairs"] == 90
    for name in ("savings", "baseline"):
        known = Decimal(figures[f"{name}_by_teacher_answers_usd"])
        assert float(figures[f"{name}_usd"]) == pytest.approx(float(known), abs=1e-9)
        assert Decimal(figures[f"{name}_usd_lower"]) < known < Decimal(figures[f"{name}_usd_upper"])


def test_recorded_answers_of_real_models(shared: Path) -> None:
    path = shared / "data" / "routellm_gsm8k.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["split"] == "test"]
    assert len(rows) == 236
    figures = demo("--outcomes", str(path))
    check(figures, expected(rows, 0.25))
    assert figures["compared_pairs"] >= 80
    known = Decimal(figures["savings_by_teacher_answers_usd"])
    # Most answers are compared, so the error is well below what the interval allows for.
    assert Decimal(figures["savings_usd_lower"]) <= known <= Decimal(figures["savings_usd_upper"])


def test_rows_without_responses_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_text('{"id": "a", "prompt": "x", "student_score": 0, "teacher_score": 1}\n')
    command = [*BREAKEVEN, "demo", "--once", "--outcomes", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "row a: the demo needs prompt" in done.stderr
