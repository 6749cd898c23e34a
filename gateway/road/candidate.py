"""How the experiment with the next student goes: each function takes its state and gives the next one. Pure.

The student, and with it the router and thresholds of every workload, are only ever switched together.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.road import machine
from breakeven.gateway.road.gate import Verdict
from breakeven.gateway.road.stages import Stage, State


class Phase(StrEnum):
    """What became of a candidate.

    COMPARING: its answers and the student's are compared with the teacher's. BETTER: it is shown to be better, and
    waits for the operator. PROMOTED: it is the student. DROPPED: it is asked no longer.
    """

    COMPARING = "comparing"
    BETTER = "better"
    PROMOTED = "promoted"
    DROPPED = "dropped"


class Experiment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One candidate and what was found of it. Without a name of the `candidate` there was none yet.

    `named` and `student_named` are the names with revisions that the config has, `candidate`, `student` and `teacher`
    the versions that were compared, `scorer` what scored the answers, in words. Only comparisons since `begun` count;
    the `phase` began at `since`, microseconds since the Unix epoch both. `difference`, with `low` and `high`: candidate
    less student in scores, from so many `comparisons`; None before there are any. `why` says in words what made the
    phase, and `held` what keeps it from going on. `roads` are the states that the workloads have once the candidate is
    promoted, `before` those that they had before it was.
    """

    candidate: str = ""
    student: str = ""
    teacher: str = ""
    named: str = ""
    student_named: str = ""
    scorer: str = ""
    phase: Phase = Phase.COMPARING
    begun: int = 0
    since: int = 0
    comparisons: int = 0
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""
    held: str = ""
    roads: dict[str, State] = {}
    before: dict[str, State] = {}

    @property
    def artifacts(self) -> set[str]:
        """The hashes of the routers that its states name."""
        states = (*self.roads.values(), *self.before.values())
        units = (unit for state in states for unit in (state.promised, state.previous, state.proposal))
        return {unit.artifact for unit in units if unit is not None}


# Built at import: where two threads use a type of msgspec for the first time at once, it crashes the process.
_EXPERIMENT = msgspec.json.Decoder(Experiment)


def compared(
    experiment: Experiment, versions: tuple[str, str, str], named: tuple[str, str], scorer: str, now: int
) -> Experiment:
    """The experiment for these `versions` of candidate, student and teacher, which the config `named` candidate and
    student, and this scorer. What was measured of others is set aside; what was dropped stays so.
    """
    found = (experiment.candidate, experiment.student, experiment.teacher)
    if found == versions and experiment.scorer == scorer:
        return experiment
    if experiment.phase is Phase.DROPPED and experiment.candidate == versions[0]:
        return experiment
    anew = experiment.scorer not in ("", scorer) or experiment.teacher not in ("", versions[2])
    return Experiment(*versions, *named, scorer, begun=now if anew else experiment.begun, since=now)


def measured(experiment: Experiment, verdict: Verdict, now: int) -> Experiment:
    """The experiment with what comparisons show: dropped where the candidate is worse, else on offer where it is
    better.
    """
    difference, low, high = verdict.difference
    experiment = msgspec.structs.replace(
        experiment, comparisons=verdict.comparisons, difference=difference, low=low, high=high
    )
    if verdict.worse:
        return dropped(experiment, f"{experiment.candidate} is worse: {evidence(experiment)}", now)
    if verdict.better and experiment.phase is Phase.COMPARING:
        text = f"{experiment.candidate} is better: {evidence(experiment)}"
        return _at(experiment, Phase.BETTER, text, now)
    return experiment


def held(experiment: Experiment, text: str) -> Experiment:
    """The experiment that concludes nothing for now, and says why; with an empty text it goes on."""
    return msgspec.structs.replace(experiment, held=text)


def dropped(experiment: Experiment, why: str, now: int) -> Experiment:
    """The experiment whose candidate is asked no longer."""
    return _at(msgspec.structs.replace(experiment, roads={}, before={}), Phase.DROPPED, why, now)


def promoted(experiment: Experiment, states: Mapping[str, State], now: int) -> tuple[Experiment, dict[str, State]]:
    """The experiment with the candidate as the student, and the state that each workload has then, for those that they
    have now.

    Where a workload was routed, and a router of the candidate's is certified for it, that is in force with the
    candidate; else the teacher answers until there is one.
    """
    after = {}
    for workload, state in states.items():
        road = experiment.roads.get(workload) or new_road(experiment, state, now)
        road = msgspec.structs.replace(road, scorer=state.scorer, scored_since=state.scored_since, rates=state.rates)
        if machine.in_force(state) and road.proposal is not None:
            road = machine.applied(road, now)
        after[workload] = road
    text = f"{experiment.candidate} is the student in place of {experiment.student}; {evidence(experiment)}"
    experiment = _at(msgspec.structs.replace(experiment, before=dict(states), roads={}), Phase.PROMOTED, text, now)
    return experiment, after


def rolled_back(experiment: Experiment, now: int) -> tuple[Experiment, dict[str, State]]:
    """The experiment with the student of before, and the states of the workloads of then. Raises ValueError where the
    candidate is not promoted.
    """
    if experiment.phase is not Phase.PROMOTED:
        raise ValueError("no candidate is promoted")
    # What came in meanwhile was not watched.
    states = {
        workload: msgspec.structs.replace(state, watched=now, capitals=())
        for workload, state in experiment.before.items()
    }
    return dropped(experiment, f"rolled back by the operator: {experiment.student} is the student again", now), states


def new_road(experiment: Experiment, state: State, now: int) -> State:
    """The state of a workload for the candidate as its student, before a router was trained for it."""
    return State(
        state.workload,
        Stage.OBSERVE,
        since=now,
        measured_since=max(experiment.begun, state.scored_since),
        student=experiment.candidate,
        teacher=experiment.teacher,
        scorer=state.scorer,
        scored_since=state.scored_since,
        stopped=state.stopped,
        why=f"the student is {experiment.candidate} now, whose comparisons are those of when it was the candidate",
    )


def evidence(experiment: Experiment) -> str:
    """What was found, for people."""
    if experiment.difference is None or experiment.low is None or experiment.high is None:
        return "no answers of both were compared yet"
    difference, low, high = (100 * value for value in (experiment.difference, experiment.low, experiment.high))
    return (
        f"{difference:+.1f} points of quality ({low:+.1f} to {high:+.1f}) beside the student {experiment.student}, "
        f"from answers of both to the same {experiment.comparisons} requests"
    )


def write_experiment(experiment: Experiment) -> str:
    """The experiment as the ledger has it; see `read_experiment`."""
    return msgspec.json.encode(experiment).decode()


def read_experiment(document: str) -> Experiment:
    """The experiment, as the ledger has it. Raises BreakevenError for one that cannot be read."""
    try:
        return _EXPERIMENT.decode(document)
    except msgspec.MsgspecError:
        raise BreakevenError(
            "the row of the ledger's table candidates cannot be read; delete it to begin the experiment anew"
        ) from None


def _at(experiment: Experiment, phase: Phase, text: str, now: int) -> Experiment:
    since = now if phase != experiment.phase else experiment.since
    return msgspec.structs.replace(experiment, phase=phase, since=since, why=text, held="")
