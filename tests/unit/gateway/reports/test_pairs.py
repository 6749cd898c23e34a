"""`breakeven pairs` as a subprocess: outcome rows become comparisons."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from breakeven.gateway.config.load import load_config
from breakeven.gateway.ledger import Ledger
from breakeven.router.policy import Route
from tests.support.processes import BREAKEVEN
from tests.unit.gateway.ledger.records import record


def row(number: int, **changes: Any) -> dict[str, Any]:
    """The teacher counts 9 prompt tokens for the student's 10, and writes 50 tokens for the student's 100."""
    tokens = {"student_prompt_tokens": 10, "teacher_prompt_tokens": 9, "student_tokens": 100, "teacher_tokens": 50}
    made = {"id": str(number), "prompt": f"question {number}", "student_score": 1.0, "teacher_score": 1.0, **tokens}
    return {name: value for name, value in (made | changes).items() if value is not None}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "breakeven.yaml"
    student = {"base_url": "http://127.0.0.1:1/v1", "model": "small"}
    prices = {"input": 10, "output": 20}
    teacher = {"base_url": "http://127.0.0.1:2/v1", "model": "big", "usd_per_million": prices}
    path.write_text(yaml.safe_dump({"student": student, "teacher": teacher, "workloads": ["support"]}))
    return path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*BREAKEVEN, *arguments], capture_output=True, text=True, timeout=60)


def enter(config: Path, rows: list[dict[str, Any]], *options: str) -> subprocess.CompletedProcess[str]:
    file = config.with_name("rows.jsonl")
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return run("pairs", str(file), "--config", str(config), *options)


def report(config: Path) -> dict[str, Any]:
    done = run("report", "--json", "--config", str(config))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_savings_are_estimated_from_rows(config: Path) -> None:
    settings = load_config(config)
    ledger = Ledger.open(settings.ledger.url, journal=config.parent / "writer")
    # Worth 4, 8 and 16 microdollars: 1 known, 1 of prompts, 2 of answers each.
    ledger.settle(record(at=time.time_ns() // 1000 - 10**6, route=Route.STUDENT, baseline=4_000_000, money=0))
    assert ledger.flush(20)
    ledger.close()
    done = enter(config, [row(number) for number in range(49)] + [row(99, teacher_prompt_tokens=None)])
    assert done.stdout.splitlines() == [
        "entered 49 comparisons of 50 rows; 1 lack one of student_tokens, teacher_tokens, student_prompt_tokens, "
        "teacher_prompt_tokens",
        "1 more are needed before savings are estimated",
    ]
    assert report(config)["savings_usd"] is None
    done = enter(config, [row(number) for number in range(60)])
    assert done.stdout.splitlines() == [
        "entered 11 comparisons of 60 rows; 49 were there already",
        "savings are estimated",
    ]
    found = report(config)
    assert (found["compared_pairs"], found["entered_pairs"]) == (60, 60)
    # 1,000,000 picodollars known, 0.9 of as many for the prompt, and half of two million.
    assert float(found["baseline_usd"]) * 1e12 == pytest.approx(1_000_000 + 900_000 + 1_000_000)
    said = run("report", "--config", str(config)).stdout
    assert "60 of the comparisons were entered from outcome rows" in said


def test_a_workload_has_to_be_in_the_config(config: Path) -> None:
    done = enter(config, [row(1)], "--workload", "sales")
    assert (done.returncode, done.stderr) == (
        2, "breakeven: --workload: 'sales' is not in the config; use one of default, support\n",
    )  # fmt: skip
    assert enter(config, [row(1)], "--workload", "support").returncode == 0


@pytest.mark.parametrize("name", ["student_tokens", "teacher_tokens", "student_prompt_tokens", "teacher_prompt_tokens"])
@pytest.mark.parametrize("value", [-1, 1.5, "10", True])
def test_a_count_that_is_none_is_refused(config: Path, name: str, value: Any) -> None:
    done = enter(config, [row(1, **{name: value})])
    assert done.returncode == 2
    assert f"{name}: must be a whole number, 0 or more" in done.stderr
