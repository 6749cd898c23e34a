"""The candidate as the student: what the config means once it is promoted, and the operator's word on it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Literal

from breakeven.gateway.accounting.record import CANDIDATE, DEFAULT_WORKLOAD
from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import BreakevenError
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.candidates import Change
from breakeven.gateway.ledger.road import Event
from breakeven.gateway.road.candidate import (
    Experiment,
    Phase,
    dropped,
    promoted,
    read_experiment,
    rolled_back,
    write_experiment,
)
from breakeven.gateway.road.stages import State, read_state, write_state

Word = Literal["promote", "drop", "rollback"]


def in_force(config: Config, experiment: Experiment) -> Config:
    """The config, with the candidate in the student's place where it is promoted. A file that names other models by now
    says itself what is meant.
    """
    student, candidate = config.student, config.candidate
    if student is None or candidate is None or experiment.phase is not Phase.PROMOTED:
        return config
    if (candidate.named, student.named) != (experiment.named, experiment.student_named):
        return config
    return config.with_candidate_as_student(candidate)


def with_promotion(config: Config, ledger: Ledger, known: Experiment) -> Config:
    """The config as `in_force` by what the ledger says; by what was `known` of it where that cannot be read."""
    try:
        return in_force(config, known_experiment(ledger))
    except BreakevenError:
        return in_force(config, known)


def known_experiment(ledger: Ledger) -> Experiment:
    """What the ledger says of the candidate. Raises LedgerError, BreakevenError."""
    document = ledger.candidates.document()
    return Experiment() if document is None else read_experiment(document)


def say(ledger: Ledger, config: Config, word: Word, who: str, *, anyway: bool = False) -> Experiment:
    """Promote, drop or roll back the candidate, on all gateways of the ledger within seconds; the new experiment.

    `config` is as the file has it. `who` says so: console, api or command line. `anyway`: promote it although it is
    not shown to be better. Raises BreakevenError
    where that cannot be, LedgerError.
    """
    now, said = time.time_ns() // 1000, Experiment()

    def make(document: str | None, states: dict[str, str]) -> Change:
        nonlocal said
        before = Experiment() if document is None else read_experiment(document)
        known = {workload: read_state(workload, text) for workload, text in states.items()}
        said, after = _changed(config, before, known, word, now, anyway=anyway)
        undo = json.dumps({"kind": "candidate", "word": "rollback"}) if word == "promote" else None
        return change(said, now, after, who, undo)

    ledger.candidates.change(make)
    return said


def change(
    experiment: Experiment,
    now: int,
    states: Mapping[str, State] | None = None,
    who: str = "gateway",
    undo: str | None = None,
) -> Change:
    """An experiment as it is stored, with what is said of it, who did it, and as JSON what undoes it."""
    happened = Event(now, CANDIDATE, experiment.phase, experiment.why, who, undo)
    documents = {workload: write_state(state) for workload, state in (states or {}).items()}
    return Change(write_experiment(experiment), documents, happened)


def _changed(
    config: Config, experiment: Experiment, states: dict[str, State], word: Word, now: int, *, anyway: bool
) -> tuple[Experiment, dict[str, State]]:
    if word == "rollback":
        return _rolled_back(config, experiment, now)
    if config.candidate is None:
        raise BreakevenError("there is no candidate; add the section candidate to the config")
    if experiment.phase is Phase.PROMOTED and in_force(config, experiment) is not config:
        raise BreakevenError("the candidate is promoted already; `breakeven candidate rollback` undoes it")
    if not experiment.candidate or experiment.named != config.candidate.named:
        raise BreakevenError(
            f"nothing is known of the candidate {config.candidate.named} yet: its answers are compared once a gateway "
            "runs with this config and requests come in"
        )
    if word == "drop":
        return dropped(experiment, "dropped by the operator", now), {}
    if experiment.phase is not Phase.BETTER and not anyway:
        raise BreakevenError(
            "the candidate is not shown to be better than the student; see `breakeven candidate status`, or promote it "
            "with --anyway"
        )
    return promoted(experiment, states or {DEFAULT_WORKLOAD: State(DEFAULT_WORKLOAD)}, now)


def _rolled_back(config: Config, experiment: Experiment, now: int) -> tuple[Experiment, dict[str, State]]:
    if experiment.phase is Phase.PROMOTED and in_force(config, experiment) is config:
        raise BreakevenError(
            f"the config names {experiment.candidate} as its student by now: put back the section of "
            f"{experiment.student_named} there, with {experiment.named} as the candidate, and say this again"
        )
    try:
        return rolled_back(experiment, now)
    except ValueError as error:
        raise BreakevenError(f"{error}; see `breakeven candidate status`") from None
