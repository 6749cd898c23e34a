"""Where a workload is, in words."""

from __future__ import annotations

import msgspec
import pytest

from breakeven.gateway.reports.road import Position
from breakeven.gateway.road.stages import Promised, Stage, State, read_state, write_state

PROMISED = Promised("a" * 12, 0.007, None, 0.62, 0.985, 0.981, 400, 7, "small", "big", 0.98, share=0.62)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.62, "the hardest 38% of the measured traffic to the teacher (threshold 0.0070)"),
        (1.0, "none of the measured traffic is too hard for the student (threshold 0.0070)"),
        (None, f"router {'a' * 12}, threshold 0.0070"),
    ],
)
def test_a_threshold_is_said_as_a_share_of_the_traffic(share: float | None, said: str) -> None:
    promised = msgspec.structs.replace(PROMISED, share=share)
    state = State("desk", Stage.WATCH, promised=promised)
    place = Position(state, 400, 500, None, None, 0.0, False, None, "the scorer exact", 0.98, None, 0, ())
    (line,) = (one for one in place.lines() if one.startswith("  in force: "))
    assert line.endswith(said)
    found = place.to_dict()["in_force"]
    assert (found["share"], found["threshold"]) == (share, 0.007)


def test_a_state_of_a_gateway_that_did_not_keep_the_share_is_read() -> None:
    written = write_state(State("desk", Stage.WATCH, promised=PROMISED)).replace(',"share":0.62', "")
    assert "share" not in written
    assert read_state("desk", written).promised == msgspec.structs.replace(PROMISED, share=None)
