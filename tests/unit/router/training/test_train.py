"""`breakeven train` and `evaluate` end to end, on synthetic rows and on real ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from breakeven.gateway.cli.main import app
from breakeven.router import outcomes
from breakeven.router.evaluation.evaluate import measure
from breakeven.router.model.artifact import load
from breakeven.router.training.train import train
from tests.unit.router.conftest import make_rows

run = CliRunner().invoke


def test_a_trained_router_is_evaluated_and_routes(write_rows: Callable[..., Path], tmp_path: Path) -> None:
    rows, out, plot = write_rows(make_rows(600)), tmp_path / "art", tmp_path / "curve.png"
    result = run(app, ["train", str(rows), "--out", str(out)])
    assert result.exit_code == 0, result.output
    digest = load(out).hash
    assert f"artifact {digest}, trained on 300 rows of split train" in result.output

    result = run(app, ["evaluate", str(rows), "--artifact", str(out), "--plot", str(plot), "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output)
    assert figures["artifact"] == digest
    assert figures["rows"] == 150
    assert figures["measures"]["router"]["APGR"]["low"] > 0.6
    assert plot.exists()

    hard = next(row["prompt"] for row in make_rows(50, seed=3, noise=0.0) if row["category"] == "hard")
    result = run(app, ["route", hard, "--artifact", str(out)])
    assert result.exit_code == 0, result.output
    assert "route      teacher" in result.output
    assert "reason     difficult" in result.output


def test_a_bad_row_is_an_error_and_nothing_is_written(write_rows: Callable[..., Path], tmp_path: Path) -> None:
    rows = make_rows(100)
    rows[41]["teacher_score"] = "high"
    path = write_rows(rows)
    result = run(app, ["train", str(path), "--out", str(tmp_path / "art")])
    assert result.exit_code != 0
    assert f"{path}: line 42: teacher_score" in str(result.exception)
    assert not (tmp_path / "art").exists()


def many_words(count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of made-up words, 300 hard and 300 easy ones: more than a small number of rows can contain."""
    letters = random.Random(0)
    words = ["".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(600)]
    rng = random.Random(seed)
    rows = make_rows(count, seed)
    for row in rows:
        of = words[:300] if row["category"] == "hard" else words[300:]
        row["prompt"] = " ".join(rng.choices(of, k=8))
    return rows


def test_a_prior_improves_ranking_with_few_rows(write_rows: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "prior"
    train(outcomes.read([write_rows(many_words(600, 8))]), out, sources=["s"])
    tests = outcomes.read([write_rows(many_words(300, 9), "test.jsonl")])
    found: dict[str, list[float]] = {"alone": [], "with": []}
    for draw in (7, 17, 27):
        few = write_rows(many_words(40, draw), f"few-{draw}.jsonl")
        for name, options in (("alone", []), ("with", ["--prior", str(out)])):
            result = run(app, ["train", str(few), "--split", "train", "--out", str(tmp_path / name), *options])
            # 20 rows of split train are too few: all are used.
            assert result.exit_code != 0
            result = run(app, ["train", str(all_of(few)), "--out", str(tmp_path / name), *options])
            assert result.exit_code == 0, result.output
            found[name].append(measure(tests, load(tmp_path / name).assess).measures["router"]["AUROC"].value)
    assert sum(found["with"]) / 3 > sum(found["alone"]) / 3 + 0.01, found
    assert load(tmp_path / "with").metadata["prior"] == load(out).hash
    assert load(out).hash in (tmp_path / "with" / "MODEL_CARD.md").read_text()


def all_of(path: Path) -> Path:
    """A copy of a file of rows without their splits."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    whole = path.with_name("all.jsonl")
    whole.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "split"}) + "\n" for row in rows))
    return whole


def test_training_twice_gives_the_same_weights(write_rows: Callable[..., Path], tmp_path: Path) -> None:
    rows = outcomes.read([write_rows(make_rows(200))])
    for name in ("one", "two"):
        train(rows, tmp_path / name, sources=["s"])
    assert (tmp_path / "one" / "weights.npz").read_bytes() == (tmp_path / "two" / "weights.npz").read_bytes()


@pytest.mark.timeout(500)
def test_the_quality_on_mmlu_in_domain(data: Path, tmp_path: Path) -> None:
    path = data / "routellm_mmlu.jsonl.gz"
    train(outcomes.read([path], "train"), tmp_path / "art", sources=[path.name])
    assert sum(item.stat().st_size for item in (tmp_path / "art").iterdir()) <= 10e6
    figures = measure(outcomes.read([path], "test"), load(tmp_path / "art").assess).measures["router"]
    assert figures["APGR"].value >= 0.68
    assert figures["AUROC"].value >= 0.64
    assert figures["ECE"].value <= 0.04
