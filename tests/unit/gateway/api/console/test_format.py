"""The console's number formats give the same text as the gateway's own, run by a real Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from breakeven.gateway.accounting.money import dollars, dollars_of_float, exact
from breakeven.gateway.economics.periods import HOURS_A_MONTH
from tests.support.processes import ROOT

FORMAT = ROOT / "gateway/api/console/static/format.js"

PICODOLLARS = [
    0, 1, 9, 10, 11, 99, 104, 995, 12_345, 10**6 + 1, 123_456_789, 999_999_999, 9_949_999_999, 9_950_000_000,
    9_999_999_999, 10**10, 10**10 + 1, 15 * 10**9, 25 * 10**9, 5 * 10**9, 994_999_999_999, 995_000_000_000,
    197_500_000_000, 664_950_000_000, 665_000_000_000, 675_000_000_000, 10**12, 1_240_500_000_000_000,
    999_994_999_999_999_999, 999_995_000_000_000_000, 123_456_789_012_345_678_901,
]  # fmt: skip
FLOATS = [0.0, 0.0049, 0.005, 0.015, 0.025, 0.1 + 0.2, 1 / 3, 2 / 3, 1e-7, 876.0, 1234.565, 98_765.4321, 12_345_678.9]


def node(expression: str, value: Any) -> Any:
    """The result of a JavaScript expression over the exports of format.js and `value`."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node is absent; install it")
    script = f"{FORMAT.read_text()}\nconst value = {json.dumps(value)};\nconsole.log(JSON.stringify({expression}));"
    done = subprocess.run(
        [program, "--input-type=module", "-"], input=script, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_usd_of_exact_amounts() -> None:
    amounts = [sign * amount for amount in PICODOLLARS for sign in (1, -1)]
    assert node("value.map(usd)", [exact(amount) for amount in amounts]) == [dollars(amount) for amount in amounts]


def test_usd_of_floats() -> None:
    amounts = [sign * amount for amount in FLOATS for sign in (1, -1)]
    assert node("value.map(usd)", amounts) == [dollars_of_float(amount) for amount in amounts]


def test_an_unknown_value_is_a_dash() -> None:
    assert node("[usd(null), usd(undefined), percent(null)]", None) == ["–", "–", "–"]


def test_the_month_is_that_of_all_monthly_figures() -> None:
    assert node("HOURS_A_MONTH", None) == HOURS_A_MONTH
    assert node("[after(null), after(1e300)]", None) == ["never at this rate", "never at this rate"]
