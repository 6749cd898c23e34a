"""The demo from stage `observe` on: its figures are those of the recordings, or it says that nothing was measured."""

from __future__ import annotations

import io
import json
import subprocess
from typing import Any

import pytest
from rich.console import Console

from breakeven.gateway.demo import Setup, from_recorded, run
from breakeven.models import recorded
from tests.support.processes import BREAKEVEN

_SECONDS = 240


@pytest.mark.timeout(_SECONDS + 30)
def test_the_desk_is_observed_until_a_floor_can_be_promised_and_then_routed() -> None:
    command = [*BREAKEVEN, "demo", "--once", "--json", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    rows, observed, routed = recorded.load_desk(), figures["observed_requests"], figures["routed_requests"]
    assert figures["failed"] == 0
    # A router is trained on 300 comparisons at the earliest, and none before may say what is routed.
    assert 300 <= observed < len(rows)
    assert observed + routed == len(rows)
    assert "stage observe" in done.stderr
    assert "in force" in done.stderr
    requests = {side: figures["upstreams"][side]["requests"] for side in ("student", "teacher")}
    share = figures["teacher_share"]
    assert 0 < share < 1
    assert requests == {"student": round(routed * (1 - share)), "teacher": observed + round(routed * share)}
    # The teacher is always right, so that what is kept is the share of right answers.
    alone = sum(row.student_score for row in rows[observed:]) / routed
    assert figures["quality_kept_by_student"] == pytest.approx(alone)
    assert figures["quality_kept_by_chance"] == pytest.approx(alone + share * (1 - alone))
    assert figures["quality_kept_at_best"] == pytest.approx(min(1.0, alone + share))
    assert figures["quality_kept_by_chance"] < figures["quality_kept"] <= figures["quality_kept_at_best"]
    assert figures["quality_kept_lower"] <= figures["quality_kept"] <= figures["quality_kept_upper"] + 1e-9
    assert figures["quality_kept_upper"] >= figures["workload"]["in_force"]["floor"]


def test_what_was_not_routed_is_not_measured() -> None:
    """Too few prompts for a router: the teacher answers all of them, and there are no figures of routing."""
    said = io.StringIO()
    figures = run(
        from_recorded(recorded.load_desk()[:60]),
        Setup(port=0, once=True, stages=True),
        Console(file=said, width=120),
    )
    assert (figures["observed_requests"], figures["routed_requests"]) == (60, 0)
    upstreams = figures["upstreams"]
    assert isinstance(upstreams, dict)
    assert (upstreams["student"]["requests"], upstreams["teacher"]["requests"]) == (0, 60)
    for name in ("quality_kept", "quality_kept_by_student", "quality_kept_by_chance", "quality_kept_at_best"):
        assert figures[name] is None
    lines = {line.split("│")[1].strip(): line for line in said.getvalue().splitlines() if line.startswith("│")}
    assert "nothing: stage observe" in lines["promised to keep of the teacher's quality"]
    for name in (
        "the student alone",
        "routed",
        "at random with the same share",
        "the best possible with the same share",
    ):
        assert "not measured yet" in lines[name]
