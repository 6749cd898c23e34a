"""The experiment with the next student: what is offered, dropped, promoted as one unit, and put back."""

from __future__ import annotations

import msgspec
import pytest

from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.road.candidate import (
    Experiment,
    Phase,
    compared,
    dropped,
    evidence,
    measured,
    promoted,
    read_experiment,
    rolled_back,
    write_experiment,
)
from breakeven.gateway.road.gate import Verdict
from breakeven.gateway.road.stages import Promised, Stage, State
from breakeven.router.statistics import Interval

VERSIONS, NAMED = ("v2", "v1", "big"), ("v2", "v1")
BETTER = Verdict(200, Interval(0.12, 0.03, 0.2))
WORSE = Verdict(90, Interval(-0.2, -0.3, -0.04))
UNCLEAR = Verdict(50, Interval(0.05, -0.1, 0.2))


def promise(student: str, artifact: str) -> Promised:
    return Promised(artifact, 0.4, None, 0.7, 1.0, 0.98, 300, 5, student, "big", 0.95)


def begun(now: int = 10) -> Experiment:
    return compared(Experiment(), VERSIONS, NAMED, "the scorer exact", now)


def routed() -> State:
    return State("default", Stage.WATCH, promised=promise("v1", "a1"), student="v1", teacher="big", live=3, watched=4,
                 capitals=(2.0,), margin=0.01)  # fmt: skip


def test_what_is_better_is_offered_and_what_is_worse_is_dropped_also_after_an_offer() -> None:
    unclear = measured(begun(), UNCLEAR, 20)
    assert (unclear.phase, unclear.comparisons, unclear.difference) == (Phase.COMPARING, 50, 0.05)
    better = measured(unclear, BETTER, 30)
    assert (better.phase, better.since) == (Phase.BETTER, 30)
    assert better.why == (
        "v2 is better: +12.0 points of quality (+3.0 to +20.0) beside the student v1, from answers of both to the same "
        "200 requests"
    )
    # An offer stays, as long as the opposite is not shown.
    assert measured(better, UNCLEAR, 40).phase is Phase.BETTER
    worse = measured(better, WORSE, 50)
    assert (worse.phase, worse.roads) == (Phase.DROPPED, {})
    assert "v2 is worse: -20.0 points" in worse.why


def test_another_model_begins_anew_and_one_that_was_dropped_stays_so() -> None:
    one = measured(begun(), BETTER, 20)
    assert compared(one, VERSIONS, NAMED, "the scorer exact", 30) == one
    other = compared(one, ("v3", "v1", "big"), ("v3", "v1"), "the scorer exact", 30)
    assert (other.candidate, other.phase, other.difference, other.begun) == ("v3", Phase.COMPARING, None, 0)
    # What another scorer scored, or what was beside another teacher, does not count; the versions say the rest.
    assert compared(one, VERSIONS, NAMED, "the judge big", 30).begun == 30
    assert compared(one, ("v2", "v1", "bigger"), NAMED, "the scorer exact", 30).begun == 30
    gone = dropped(one, "worse", 40)
    assert compared(gone, VERSIONS, NAMED, "the judge big", 50) == gone
    assert compared(gone, ("v2 (other)", "v1", "big"), NAMED, "the scorer exact", 50).phase is Phase.COMPARING


def test_a_promotion_switches_student_router_and_threshold_of_each_workload_as_one() -> None:
    road = State("default", Stage.PROPOSE, proposal=promise("v2", "b2"), student="v2", teacher="big", looks=1)
    one = msgspec.structs.replace(measured(begun(), BETTER, 20), roads={"default": road})
    states = {"default": routed(), "coding": msgspec.structs.replace(routed(), workload="coding"), "new": State("new")}
    after, found = promoted(one, states, 30)
    assert (after.phase, after.before, after.roads) == (Phase.PROMOTED, states, {})
    mine = found["default"]
    assert (mine.stage, mine.student, mine.promised) == (Stage.ROUTE, "v2", promise("v2", "b2"))
    assert (mine.live, mine.capitals, mine.margin, mine.previous) == (30, (), None, None)
    # Without a router that is certified for it the teacher answers: no router of another student stays.
    other = found["coding"]
    assert (other.stage, other.student, other.promised, other.measured_since) == (Stage.OBSERVE, "v2", None, 0)
    assert found["new"].student == "v2"
    assert after.artifacts == {"a1"}

    back, put_back = rolled_back(after, 40)
    assert back.phase is Phase.DROPPED
    assert put_back["default"] == msgspec.structs.replace(routed(), watched=40, capitals=())
    with pytest.raises(ValueError, match="no candidate is promoted"):
        rolled_back(back, 50)


def test_a_workload_that_was_not_routed_gets_a_proposal_only() -> None:
    road = State("default", Stage.PROPOSE, proposal=promise("v2", "b2"), student="v2", teacher="big")
    one = msgspec.structs.replace(measured(begun(), BETTER, 20), roads={"default": road})
    _, found = promoted(one, {"default": State("default", student="v1")}, 30)
    assert (found["default"].stage, found["default"].promised) == (Stage.PROPOSE, None)
    assert found["default"].proposal == promise("v2", "b2")


def test_it_is_stored_whole_and_a_fault_names_the_table() -> None:
    road = State("default", Stage.PROPOSE, proposal=promise("v2", "b2"))
    one = msgspec.structs.replace(measured(begun(), BETTER, 20), roads={"default": road})
    assert read_experiment(write_experiment(one)) == one
    assert one.artifacts == {"b2"}
    assert evidence(Experiment()) == "no answers of both were compared yet"
    with pytest.raises(BreakevenError, match="table candidates"):
        read_experiment("{")
