"""`breakeven tune` from the ledger of a gateway in stage observe, which scores no request when it comes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.contract.compared import rows
from tests.contract.gateway import chat, running
from tests.contract.test_observe import OBSERVE
from tests.contract.test_road import breakeven


def test_it_says_what_it_takes_and_then_tunes_on_what_was_compared(tmp_path: Path) -> None:
    with running(tmp_path, OBSERVE) as gateway:
        for number in range(10):
            gateway.post(chat(f"Hello {number}"))
        rows(gateway, 10)
        gateway.stop()
        for goal in (("--teacher-share", "0.2"), ("--quality", "0.9")):
            done = breakeven(gateway, "tune", *goal)
            assert (done.returncode, done.stdout) == (2, "")
            assert "not measured yet: 20 more comparisons with a stored prompt" in done.stderr
        gateway.start()
        for number in range(10, 60):
            gateway.post(chat(f"Hello {number}, what is {number} times {number}?"))
        rows(gateway, 60)
        gateway.stop()
        done = breakeven(gateway, "tune", "--teacher-share", "0.25", "--json", "--plot", str(tmp_path / "tune.png"))
        assert (done.returncode, done.stderr) == (0, "")
        found = json.loads(done.stdout)
        (chosen,) = (one for one in found["points"] if one["chosen"])
        assert found["rows"] == 60
        assert chosen["share"] == pytest.approx(0.25, abs=0.05)
        # The student's answers are the teacher's.
        assert (chosen["retention"], found["threshold"]) == (1.0, chosen["threshold"])
