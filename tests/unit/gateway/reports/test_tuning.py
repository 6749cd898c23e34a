"""`breakeven tune` end to end: from outcome rows, from the ledger, and applied to a running gateway."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from breakeven.gateway.cli.main import app
from breakeven.router.model.artifact import load
from tests.support.processes import Gateway, make_config, replay

KEY = "the-admin-key"
EASY = ("name", "color", "sky", "greet", "friend", "day", "sun", "walk")
HARD = ("prove", "theorem", "spectral", "operator", "cauchy", "integral", "lemma", "norm")


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    made = []
    for number in range(count):
        hard = rng.random() < 0.3
        prompt = "what is " + " ".join(rng.choices(HARD if hard else EASY, k=8)) + "?"
        worse = rng.random() < (0.8 if hard else 0.03)
        scores = {"student_score": 0.0 if worse else 1.0, "teacher_score": 1.0, "teacher_tokens": 100}
        made.append({"id": str(number), "prompt": prompt, **scores})
    return made


def write(path: Path, made: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config, an artifact trained on some rows, and other rows to tune on."""
    folder = tmp_path_factory.mktemp("tune")
    trained = CliRunner().invoke(
        app, ["train", str(write(folder / "train.jsonl", rows(500, 1))), "--out", str(folder / "art")]
    )
    assert trained.exit_code == 0, trained.output
    write(folder / "rows.jsonl", rows(1500, 2))
    config = make_config(
        "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1", routing={"artifact": "art", "novelty_threshold": 1.0}
    )
    (folder / "breakeven.yaml").write_text(yaml.safe_dump(config))
    return folder


def tune(folder: Path, *options: str, config: Path | None = None) -> Any:
    command = ["tune", "--config", str(config or folder / "breakeven.yaml"), "--plot", str(folder / "tune.png")]
    return CliRunner().invoke(app, [*command, "--json", *options])


def figures(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    return dict(json.loads(result.output))


def test_a_quality_floor(folder: Path) -> None:
    found = figures(tune(folder, str(folder / "rows.jsonl"), "--quality", "0.95", "--requests-per-month", "100000"))
    assert found["artifact"] == load(folder / "art").hash
    chosen = next(one for one in found["points"] if one["chosen"])
    assert chosen["threshold"] == found["threshold"]
    assert chosen["low"] >= 0.94
    assert chosen["share"] < 0.6
    # 100,000 requests with 100 output tokens at 60 USD per million, and about 12 input tokens at 15.
    all_teacher = 100_000 * (100 * 60 + 12 * 15) / 1e6
    first = found["points"][0]
    assert first["share"] == 1.0
    assert first["monthly_cost_usd"] - chosen["monthly_cost_usd"] == pytest.approx(
        all_teacher * (1 - chosen["share"]), rel=0.05
    )
    assert (folder / "tune.png").read_bytes().startswith(b"\x89PNG")


def test_a_share_and_a_budget(folder: Path) -> None:
    found = figures(tune(folder, str(folder / "rows.jsonl"), "--teacher-share", "0.2"))
    chosen = next(one for one in found["points"] if one["chosen"])
    assert 0.15 < chosen["share"] <= 0.2
    options = ("--monthly-usd", "150", "--requests-per-month", "100000")
    found = figures(tune(folder, str(folder / "rows.jsonl"), *options))
    chosen = next(one for one in found["points"] if one["chosen"])
    assert 100 < chosen["monthly_cost_usd"] <= 150


def test_the_choice_ends_with_what_it_rests_on_and_what_more_rows_would_allow(folder: Path) -> None:
    command = [
        "tune",
        str(folder / "rows.jsonl"),
        "--artifact",
        str(folder / "art"),
        "--plot",
        str(folder / "said.png"),
    ]
    floor = CliRunner().invoke(app, [*command, "--quality", "0.95"]).stdout.splitlines()
    found = figures(tune(folder, str(folder / "rows.jsonl"), "--quality", "0.95"))
    answered = found["outlook"]["student_share"]
    assert floor[-2] == (
        f"the student answers {answered:.1%} of the requests, the teacher {1 - answered:.1%}: with 95% confidence at "
        "least 95.0% of the teacher's quality is kept, from 1,500 rows"
    )
    more = found["outlook"]["more_labelled"]
    assert "more rows like these would " + ("hardly " if more is None else "") + "allow" in floor[-1]
    share = CliRunner().invoke(app, [*command, "--teacher-share", "0.2"]).stdout.splitlines()
    assert "is measured, and not promised: 95% interval" in share[-2]
    assert "about 4,500 more rows would make the interval half as wide" in share[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--quality", "0.98"), "rows are too few to promise 98.0%"),
        ((), "give one of"),
        (("--quality", "0.9", "--teacher-share", "0.1"), "give one of"),
        (("--monthly-usd", "5"), "--requests-per-month"),
    ],
)
def test_a_goal_that_cannot_be_met_is_an_error(folder: Path, options: tuple[str, ...], message: str) -> None:
    few = write(folder / "few.jsonl", rows(40, 3))
    result = tune(folder, str(few), *options)
    assert result.exit_code != 0
    assert message in str(result.exception)


def test_from_the_ledger_and_applied_to_the_gateway(
    folder: Path, tmp_path: Path, gateway: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAKEVEN_ADMIN_KEY", KEY)
    asked = [row["prompt"] for row in rows(12, 4)]
    answers = [{"prompt": p, "answer": "So.", "prompt_tokens": 20, "output_tokens": 3} for p in dict.fromkeys(asked)]
    with replay(tmp_path, "student", answers) as student, replay(tmp_path, "teacher-model", answers) as teacher:
        served = gateway(student, teacher, routing={"artifact": str(folder / "art"), "novelty_threshold": 1.0})
        empty = tune(folder, "--teacher-share", "0.5", config=served.config)
        assert "has no requests that the router" in str(empty.exception)
        scores = []
        for prompt in asked:
            body = {"messages": [{"role": "user", "content": prompt}]}
            answer = httpx2.post(f"{served.base_url}/chat/completions", json=body, timeout=30.0)
            scores.append(float(answer.headers["x-breakeven-score"]))
        served.metrics()
        applied = tune(folder, "--teacher-share", "0.25", "--apply", "--url", served.url, config=served.config)
        threshold = json.loads(applied.stdout)["threshold"]
        assert np.mean(np.array(scores) >= threshold + 1e-6) <= 0.25
        headers = {"authorization": f"Bearer {KEY}"}
        active = httpx2.get(f"{served.url}/admin/policy", headers=headers, timeout=30.0).json()
        assert (active["threshold"], active["source"]) == (threshold, "admin")

        # A threshold is valid for one artifact only: the gateway rejects one that was solved for another.
        other = ("--artifact", str(Path("router/shipped").resolve()), "--apply", "--url", served.url)
        refused = tune(folder, str(folder / "rows.jsonl"), "--teacher-share", "0.5", *other, config=served.config)
        assert "tune again" in str(refused.exception)
        assert httpx2.get(f"{served.url}/admin/policy", headers=headers, timeout=30.0).json() == active
