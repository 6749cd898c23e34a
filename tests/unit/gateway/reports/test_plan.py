"""`breakeven plan` as a subprocess."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import BREAKEVEN


def breakeven(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*BREAKEVEN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


WORKED = (
    "plan", "--input-tokens", "100M", "--input-usd", "15", "--teacher-share", "0",
    "--student-usd-per-million", "0.50", "--investment-usd", "500", "--investment-usd", "5000",
)  # fmt: skip


def test_the_worked_example_as_text(tmp_path: Path) -> None:
    plot = tmp_path / "plan.png"
    done = breakeven(*WORKED, "--plot", str(plot))
    assert (done.returncode, done.stderr) == (0, "")
    assert "$1,500.00" in done.stdout
    assert "$50.00" in done.stdout
    assert "0.345 to 3.45 months" in done.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_worked_example_as_json() -> None:
    made = json.loads(breakeven(*WORKED, "--json").stdout)
    assert made["teacher_alone_usd_per_month"] == "1500.000000000000"
    assert made["with_student_usd_per_month"] == "50.000000000000"
    assert made["payback_months"] == pytest.approx([500 / 1450, 5000 / 1450])
    assert made["pays"] is True
    assert {row["tokens_per_month"] for row in made["sensitivity"]} >= {10_000_000, 1_000_000_000}


def test_the_verdict_when_distilling_does_not_pay() -> None:
    done = breakeven("plan", "--input-tokens", "8M", "--output-tokens", "2M", "--hosting-usd-per-hour", "1.2")
    assert "Distilling does not pay" in done.stdout
    assert "Hosting is cheaper than the API from 45,625,000 tokens a month" in done.stdout
    slow = breakeven(
        "plan", "--input-tokens", "8M", "--hosting-usd-per-hour", "1.2", "--replica-tokens-per-second", "1"
    )
    assert "It stays so at any volume of this traffic" in slow.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--input-tokens", "many"), "--input-tokens: not a number of tokens"),
        (("--input-tokens", "1", "--input-usd", "-3"), "--input-usd: must not be negative"),
        (("--input-tokens", "1", "--input-usd", "nan"), "--input-usd: not a number of USD"),
        (("--input-tokens", "1", "--teacher-share", "2"), "teacher_share must be in"),
        (("--input-tokens", "1", "--cached-tokens", "2"), "cached tokens are part"),
        (("--input-tokens", "1", "--labour-usd", "0.0000001"), "--labour-usd: has more than six decimals"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    done = breakeven("plan", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
