"""How a workload's state changes: each function takes a state and gives the next one. Times are in microseconds.

A state is only ever replaced as a whole, so that artifact, threshold and escalation go live, and are rolled back,
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from breakeven.gateway.road.promise import next_look
from breakeven.gateway.road.sampling import raised
from breakeven.gateway.road.stages import Direction, Promised, Rates, Stage, State
from breakeven.gateway.road.task import Learned
from breakeven.gateway.road.watch import FloorWatch, TrafficWatch

# A new unit replaces one in force if it hands over so much more of the traffic.
_BETTER = 0.02
# How many of the student's answers under a new unit are compared often, before the rate falls to the config's.
_FIRST = 200
_OFTEN = 0.2
# Comparisons before a margin over the floor is shown.
_MEASURED = 30
IN_FORCE = frozenset({Stage.ROUTE, Stage.WATCH})


class Settings(NamedTuple):
    """What the config says: `advance` without asking, the `floor` and the `confidence` in (0, 1), comparisons before
    the first look, and the share of the student's answers that are compared. `judged`: whether a comparison of the
    teacher's answer costs money, for a judge.
    """

    advance: bool
    floor: float
    confidence: float
    labels: int
    sample: float
    judged: bool = True


class Seen(NamedTuple):
    """A comparison that the watch is given: its time, the scores, which way it was made, and its weight."""

    at: int
    student: float
    teacher: float
    direction: str
    weight: float


def in_force(state: State) -> bool:
    """Whether a unit of this workload routes."""
    return state.stage in IN_FORCE and state.promised is not None


def look_due(state: State, comparisons: int, settings: Settings) -> bool:
    """Whether there are enough `comparisons` for the next look."""
    return comparisons >= next_look(state.looked_at, settings.labels)


def after_look(state: State, learned: Learned, at: int, bill: float | None, settings: Settings, now: int) -> State:
    """The state after a look at comparisons, the newest of which is of `at`: with a proposal where one is certified and
    hands over more than what is in force, and live at once where the config says so. `bill`: see `Promised`.
    """
    found = _promised(state, learned, at, bill, settings)
    state = msgspec.structs.replace(
        state,
        looks=state.looks + 1,
        looked_at=learned.rows,
        missing=learned.missing,
        would_answer=learned.would_answer,
        held="",
        unproven="",
    )
    if found is None:
        return _nothing_certified(state, learned, settings, now)
    if in_force(state) and state.promised is not None and found.answered < state.promised.answered + _BETTER:
        return state
    state = msgspec.structs.replace(state, proposal=found)
    if settings.advance and not state.stopped:
        return applied(state, now)
    if in_force(state):
        return msgspec.structs.replace(state, why=promise_text(found))
    return _at(state, Stage.PROPOSE, promise_text(found), now)


def applied(state: State, now: int) -> State:
    """The state with the proposal in force. Raises ValueError without a proposal."""
    if state.proposal is None:
        raise ValueError("there is no proposal")
    found = state.proposal
    state = msgspec.structs.replace(
        state,
        promised=found,
        previous=state.promised,
        proposal=None,
        stopped=False,
        held="",
        unproven="",
        **_new_watch(now),
    )
    return _at(state, Stage.ROUTE, f"in force: {promise_text(found)}", now)


def rolled_back(state: State, now: int) -> State:
    """The state with what was in force before; without any, the teacher answers everything again. What was in force
    becomes a proposal, and nothing goes live by itself until the operator applies one.

    Raises ValueError where nothing is in force.
    """
    if not in_force(state):
        raise ValueError("nothing is in force")
    undone, before = state.promised, state.previous
    if before is None:
        state = msgspec.structs.replace(_returned(state, "", now, keep=True), proposal=undone, stopped=True)
        return _at(state, Stage.PROPOSE, "rolled back by the operator: the teacher answers everything", now)
    state = msgspec.structs.replace(
        state, promised=before, previous=None, proposal=undone, stopped=True, **_new_watch(now)
    )
    return _at(state, Stage.ROUTE, f"rolled back by the operator: {promise_text(before)}", now)


def versions_changed(state: State, student: str, teacher: str, now: int) -> State:
    """The state for another student or teacher: what was measured of the one before is set aside."""
    if not state.student:
        return msgspec.structs.replace(state, student=student, teacher=teacher)
    which = "student" if state.student != student else "teacher"
    old, new = (state.student, student) if which == "student" else (state.teacher, teacher)
    state = msgspec.structs.replace(state, student=student, teacher=teacher)
    text = f"the {which} is {new} now, and was {old}: comparisons of before are set aside"
    return _returned(state, text, now)


def scorer_changed(state: State, scorer: str, now: int) -> State:
    """The state for another scorer, given in words: what was measured with the one before is set aside."""
    if state.scorer in ("", scorer):
        return msgspec.structs.replace(state, scorer=scorer)
    text = f"answers are scored by {scorer} now, and were by {state.scorer}: comparisons of before are set aside"
    return _returned(msgspec.structs.replace(state, scorer=scorer, scored_since=now), text, now)


def watched(state: State, compared: Sequence[Seen], novelties: Sequence[tuple[int, float]], now: int) -> State:
    """The state after the watch has seen all comparisons under what is in force, in order of time, and the times and
    novelties of the requests since `state.watched`, oldest first.

    Where the floor is no longer kept, or the traffic has changed, the teacher answers everything again. Comparisons
    are done in another order than the requests came, so all of them are watched again each time.
    """
    promised = state.promised
    if promised is None:
        return state
    floor = FloorWatch(promised.floor)
    # Rates change while a unit is in force; the bound must hold for every one of them.
    largest = max((one.weight for one in compared), default=1.0)
    for one in compared:
        by_student = one.direction == Direction.STUDENT_ANSWERED
        floor.observe(one.student, one.teacher, by_student=by_student, weight=one.weight, largest=largest)
    traffic = TrafficWatch(state.capitals)
    for _, novelty in novelties:
        traffic.observe(novelty)
    if novelties:
        state = msgspec.structs.replace(state, watched=novelties[-1][0], capitals=traffic.capitals)
    students = sum(one.direction == Direction.STUDENT_ANSWERED for one in compared)
    state = msgspec.structs.replace(state, margin=_margin(compared, promised.floor), compared=students)
    if floor.broken:
        return _returned(state, f"comparisons say that {promised.floor:.1%} is no longer kept", now)
    if traffic.changed:
        return _returned(state, "many requests are unlike those that were measured", now)
    if compared and state.stage is Stage.ROUTE:
        return _at(state, Stage.WATCH, "the floor is watched by comparisons of both routes", now)
    return state


def floor_changed(state: State, settings: Settings, now: int) -> State:
    """The state for another floor in the config: a proposal for another one is dropped, and what is in force for a
    lower one.
    """
    if state.proposal is not None and state.proposal.floor != settings.floor:
        state = msgspec.structs.replace(state, proposal=None, looked_at=0)
        if state.stage is Stage.PROPOSE:
            state = _at(state, Stage.OBSERVE, f"the floor is {settings.floor:.1%} now", now)
    if state.promised is not None and in_force(state) and state.promised.floor < settings.floor:
        state = _returned(state, f"the floor is {settings.floor:.1%} now", now, keep=True)
        return msgspec.structs.replace(state, looked_at=0)
    return state


def held(state: State, text: str) -> State:
    """The state that this holds in its stage; empty: nothing does."""
    return msgspec.structs.replace(state, held=text)


def looked_in_vain(state: State, text: str) -> State:
    """The state after a look that could not be made, or gave no proposal, and says why until the next one."""
    return msgspec.structs.replace(state, unproven=text)


def wanted_rates(state: State, base: Rates, settings: Settings) -> Rates:
    """The probabilities of comparing: `base` as long as the teacher answers everything; under a unit those of the
    config, and more often for its first comparisons.
    """
    if not in_force(state) or settings.sample == 0.0:
        return base
    by_student = max(settings.sample, _OFTEN) if state.compared < _FIRST else settings.sample
    # What the student does with a request that it is not given decides whether it can be given more.
    by_teacher = min(base.teacher_answered, raised(settings.sample)) if settings.judged else base.teacher_answered
    return Rates(by_teacher, by_student)


def promise_text(found: Promised) -> str:
    """A proposal in words."""
    return (
        f"{found.answered:.0%} of the requests can go to the student and keep at least {found.low:.1%} of the "
        f"teacher's quality, from {found.comparisons} comparisons"
    )


def _promised(state: State, learned: Learned, at: int, bill: float | None, settings: Settings) -> Promised | None:
    if learned.answered is None or learned.threshold is None or learned.retention is None or learned.low is None:
        return None
    return Promised(
        artifact=learned.artifact,
        threshold=learned.threshold,
        limit=learned.limit,
        answered=learned.answered,
        retention=learned.retention,
        low=learned.low,
        comparisons=learned.rows,
        at=at,
        student=state.student,
        teacher=state.teacher,
        floor=settings.floor,
        bill=bill,
        share=learned.share,
    )


def _nothing_certified(state: State, learned: Learned, settings: Settings, now: int) -> State:
    """Without a certified setting a unit in force stays, which the watch judges; an older proposal does not."""
    if in_force(state):
        return state
    more = "" if learned.missing is None else f"; about {learned.missing} more may allow {learned.would_answer:.0%}"
    text = f"{learned.rows} comparisons do not show yet that any share keeps {settings.floor:.1%}{more}"
    state = msgspec.structs.replace(state, proposal=None)
    if state.stage is Stage.PROPOSE:
        return _at(state, Stage.OBSERVE, text, now)
    return looked_in_vain(held(state, text), text)


def _returned(state: State, text: str, now: int, *, keep: bool = False) -> State:
    """Back to stage OBSERVE. What was in force is not offered again: it failed, or is for another model or floor.
    Comparisons of before are set aside unless they are to be kept.
    """
    state = msgspec.structs.replace(
        state,
        promised=None,
        previous=None,
        proposal=None,
        held="",
        unproven="",
        capitals=(),
        margin=None,
    )
    if not keep:
        state = msgspec.structs.replace(
            state, measured_since=now, looks=0, looked_at=0, missing=None, would_answer=None
        )
    return _at(state, Stage.OBSERVE, text, now)


def _at(state: State, stage: Stage, text: str, now: int) -> State:
    return msgspec.structs.replace(state, stage=stage, since=now if stage != state.stage else state.since, why=text)


def _new_watch(now: int) -> dict[str, object]:
    return {"live": now, "watched": now, "capitals": (), "margin": None, "compared": 0}


def _margin(compared: Sequence[Seen], floor: float) -> float | None:
    """The share of the teacher's quality that was kept, less the floor; None for too few comparisons."""
    if len(compared) < _MEASURED:
        return None
    whole = sum(one.weight * one.teacher for one in compared)
    kept = sum(
        one.weight * (one.student if one.direction == Direction.STUDENT_ANSWERED else one.teacher) for one in compared
    )
    return kept / whole - floor if whole else None
