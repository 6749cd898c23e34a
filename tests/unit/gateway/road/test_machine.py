"""How a workload's state changes: by looks, by the operator's word, by the watch, and by other models or floors."""

from __future__ import annotations

import msgspec
import pytest

from breakeven.gateway.road import machine
from breakeven.gateway.road.machine import Seen, Settings
from breakeven.gateway.road.stages import Direction, Promised, Rates, Stage, State
from breakeven.gateway.road.task import Learned

SETTINGS = Settings(advance=False, floor=0.95, confidence=0.95, labels=300, sample=0.02)
AUTO = SETTINGS._replace(advance=True)
NEW = State("desk", student="small", teacher="big")


def learned(answered: float | None, rows: int = 300, artifact: str = "a" * 12) -> Learned:
    if answered is None:
        return Learned(artifact, trained=True, rows=rows, missing=180, would_answer=0.1)
    certified = (answered, None, answered, 0.4, 0.99, 0.951)
    return Learned(artifact, True, rows, *certified, missing=180, would_answer=answered + 0.1)


def looked(state: State, answered: float | None, settings: Settings = SETTINGS, **changes: object) -> State:
    return machine.after_look(state, learned(answered, **changes), 7, 0.5, settings, 10)  # type: ignore[arg-type]


def live(answered: float = 0.4) -> State:
    return looked(NEW, answered, AUTO)


def promised(state: State) -> Promised:
    assert state.promised is not None
    return state.promised


def test_a_proposal_waits_for_the_operator_and_goes_live_as_one() -> None:
    state = looked(NEW, 0.4)
    assert (state.stage, state.since, state.looks, state.looked_at) == (Stage.PROPOSE, 10, 1, 300)
    assert not machine.in_force(state)
    state = machine.applied(state, 20)
    assert (state.stage, state.live, state.proposal) == (Stage.ROUTE, 20, None)
    one = promised(state)
    assert (one.artifact, one.threshold, one.answered, one.student, one.floor) == ("a" * 12, 0.4, 0.4, "small", 0.95)


def test_by_itself_it_goes_live_at_once() -> None:
    assert (live().stage, promised(live()).answered) == (Stage.ROUTE, 0.4)


def test_nothing_certified_says_what_is_missing() -> None:
    state = looked(NEW, None)
    assert (state.stage, state.looks, state.proposal) == (Stage.OBSERVE, 1, None)
    assert "about 180 more may allow 10%" in state.held
    # A proposal that newer comparisons no longer support does not stay.
    assert looked(looked(NEW, 0.4), None, rows=375).stage is Stage.OBSERVE


def test_looks_become_rarer() -> None:
    assert not machine.look_due(NEW, 299, SETTINGS)
    assert machine.look_due(NEW, 300, SETTINGS)
    after = looked(NEW, None)
    assert not machine.look_due(after, 374, SETTINGS)
    assert machine.look_due(after, 375, SETTINGS)


def test_a_challenger_must_hand_over_more() -> None:
    state = looked(live(0.4), 0.41, AUTO, artifact="b" * 12)
    assert (promised(state).artifact, state.proposal) == ("a" * 12, None)
    state = looked(live(0.4), 0.5, artifact="b" * 12)
    assert (state.stage, promised(state).artifact) == (Stage.ROUTE, "a" * 12)
    state = machine.applied(state, 30)
    assert (promised(state).artifact, state.previous and state.previous.artifact) == ("b" * 12, "a" * 12)
    # And what was there before comes back whole.
    state = machine.rolled_back(state, 40)
    assert (promised(state).artifact, promised(state).threshold, state.previous) == ("a" * 12, 0.4, None)
    assert state.proposal is not None
    assert state.proposal.artifact == "b" * 12


def test_after_a_rollback_nothing_goes_live_until_the_operator_says_so() -> None:
    undone = live().promised
    state = machine.rolled_back(live(), 50)
    assert (state.stage, state.promised, state.looked_at, state.proposal) == (Stage.PROPOSE, None, 300, undone)
    with pytest.raises(ValueError, match="nothing is in force"):
        machine.rolled_back(state, 55)
    state = looked(state, 0.6, AUTO, rows=375, artifact="c" * 12)
    assert (state.stage, state.promised) == (Stage.PROPOSE, None)
    state = machine.applied(state, 60)
    assert (state.stage, promised(state).artifact, state.stopped) == (Stage.ROUTE, "c" * 12, False)


def test_words_without_a_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="no proposal"):
        machine.applied(NEW, 1)
    with pytest.raises(ValueError, match="nothing is in force"):
        machine.rolled_back(NEW, 1)


def seen(count: int, lost: int, weight: float = 1.0) -> list[Seen]:
    """`count` comparisons of the student's answers, one in `lost` of which is wrong."""
    return [
        Seen(number, float(number % lost != 0), 1.0, Direction.STUDENT_ANSWERED, weight) for number in range(1, count)
    ]


def test_the_first_comparison_under_it_begins_the_watch() -> None:
    state = machine.watched(live(), seen(3, 100), [], 30)
    assert (state.stage, state.since, state.margin) == (Stage.WATCH, 30, None)
    assert machine.watched(live(), [], [], 30).stage is Stage.ROUTE


def test_a_kept_floor_has_a_margin_and_a_broken_one_returns_to_the_teacher() -> None:
    kept = machine.watched(live(), seen(400, 50), [], 30)
    assert kept.stage is Stage.WATCH
    assert kept.margin == pytest.approx(1 - 7 / 399 - 0.95)
    broken = machine.watched(live(), seen(400, 3), [], 30)
    assert (broken.stage, broken.promised, broken.looks, broken.measured_since) == (Stage.OBSERVE, None, 0, 30)
    # What failed is not offered again.
    assert (broken.previous, broken.proposal) == (None, None)
    assert "95.0% is no longer kept" in broken.why
    with pytest.raises(ValueError, match="nothing is in force"):
        machine.rolled_back(broken, 40)
    # Nor does a look that certifies nothing take the reason away.
    assert "95.0% is no longer kept" in looked(broken, None).why


def test_other_traffic_returns_to_the_teacher_across_restarts() -> None:
    state = live()
    for number in range(60):
        # Each comes alone, as after a restart, with nothing kept but the state.
        state = msgspec.json.decode(msgspec.json.encode(state), type=State)
        state = machine.watched(state, [], [(100 + number, 0.99)], 30)
    assert (state.stage, state.promised) == (Stage.OBSERVE, None)
    assert "unlike those that were measured" in state.why


def test_another_model_sets_aside_what_was_measured() -> None:
    state = machine.versions_changed(live(), "small@2", "big", 60)
    assert (state.stage, state.student, state.promised, state.previous) == (Stage.OBSERVE, "small@2", None, None)
    assert (state.measured_since, state.looked_at) == (60, 0)
    assert machine.versions_changed(State("desk"), "small", "big", 60) == NEW


def test_another_floor() -> None:
    higher, lower = SETTINGS._replace(floor=0.98), SETTINGS._replace(floor=0.9)
    assert machine.floor_changed(looked(NEW, 0.4), higher, 70).stage is Stage.OBSERVE
    assert machine.floor_changed(live(), lower, 70) == live()
    back = machine.floor_changed(live(), higher, 70)
    assert (back.stage, back.promised, back.looked_at, back.measured_since) == (Stage.OBSERVE, None, 0, 0)


def test_new_units_are_compared_more_often() -> None:
    base = Rates(1.0, 0.02)
    assert machine.wanted_rates(NEW, base, SETTINGS) == base
    assert machine.wanted_rates(live(), base, SETTINGS) == Rates(0.2, 0.2)
    watched = machine.watched(live(), seen(201, 1000), [], 30)
    assert machine.wanted_rates(watched, base, SETTINGS) == Rates(0.2, 0.02)
    # What costs nothing is compared always.
    assert machine.wanted_rates(watched, base, SETTINGS._replace(judged=False)) == Rates(1.0, 0.02)


def test_another_scorer_sets_aside_what_was_measured() -> None:
    known = machine.scorer_changed(live(), "the judge big", 15)
    assert (known.stage, known.scored_since) == (Stage.ROUTE, 0), "the first one changes nothing"
    assert machine.scorer_changed(known, "the judge big", 16) == known
    state = machine.scorer_changed(known, "the scorer exact", 20)
    assert (state.stage, state.measured_since, state.scored_since, state.looks) == (Stage.OBSERVE, 20, 20, 0)
    assert state.why.startswith("answers are scored by the scorer exact now, and were by the judge big")
    assert (state.promised, state.previous) == (None, None)
