"""What holds a workload now: of several causes the one that matters most, and nothing once they are gone."""

from __future__ import annotations

import msgspec

from breakeven.gateway.road import machine
from breakeven.gateway.road.holding import Facts, holding
from breakeven.gateway.road.stages import State
from tests.unit.gateway.road.test_machine import NEW, live, looked

ALL = Facts(loaded=False, sampled=False, unjudged="the judge fails", obstacle="store_prompts is off")


def test_of_several_causes_the_one_that_matters_most_is_said() -> None:
    state = machine.looked_in_vain(live(), "the disk is full")
    assert "cannot be loaded" in holding(state, ALL)
    assert holding(state, ALL._replace(loaded=True)) == (
        "road.sample is 0: nothing is compared, so that nobody watches the floor"
    )
    assert holding(state, Facts(unjudged="the judge fails", obstacle="store_prompts is off")) == (
        "the floor may not be watched: the judge fails"
    )
    assert holding(state, Facts(obstacle="store_prompts is off")) == "store_prompts is off"
    assert holding(state, Facts()) == "the disk is full"
    assert holding(live(), Facts()) == ""


def test_what_only_matters_of_something_in_force_does_not_hold_a_workload_before() -> None:
    assert holding(NEW, ALL._replace(obstacle=None)) == (
        "road.sample is 0: nothing is compared, so that no router can be trained"
    )
    assert holding(NEW, ALL._replace(sampled=True)) == "store_prompts is off"


def test_the_operators_routing_waits_for_nothing() -> None:
    assert holding(machine.looked_in_vain(live(), "the disk is full"), ALL._replace(operator=True)) == ""


def test_what_a_look_lacked_is_said_until_the_next_look() -> None:
    lacking = looked(NEW, None)
    assert holding(lacking, Facts()) == lacking.held
    assert "about 180 more may allow 10%" in lacking.held
    # It comes back once a heavier cause is gone, and after a restart.
    held = machine.held(lacking, holding(lacking, Facts(sampled=False)))
    assert "road.sample is 0" in held.held
    held = msgspec.json.decode(msgspec.json.encode(held), type=State)
    assert holding(held, Facts()) == lacking.held
    for after in (looked(lacking, 0.4, rows=375), machine.versions_changed(lacking, "small@2", "big", 60)):
        assert holding(after, Facts()) == ""
