"""The stages of a workload on its way to being routed, and what is in force in each."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from breakeven.gateway.errors import BreakevenError


class Stage(StrEnum):
    """How far a workload has come.

    OBSERVE: the teacher answers everything, and the student's answers beside it are compared. PROPOSE: the same, with a
    certified proposal that waits for the operator. ROUTE: an artifact and its threshold are in force. WATCH: as ROUTE,
    and comparisons of both routes say that the floor is kept.
    """

    OBSERVE = "observe"
    PROPOSE = "propose"
    ROUTE = "route"
    WATCH = "watch"


class Direction(StrEnum):
    """Which of the two answers of a comparison the client got; the other one was asked for in the background."""

    TEACHER_ANSWERED = "teacher_answered"
    STUDENT_ANSWERED = "student_answered"


class Rates(msgspec.Struct, frozen=True):
    """The probabilities with which a request is compared, in [0, 1], by who answers it."""

    teacher_answered: float = 0.0
    student_answered: float = 0.0


class Promised(msgspec.Struct, frozen=True):
    """What goes live as one unit, and what was measured of it.

    `artifact` is the hash of the router artifact, `threshold` that of its scores, `limit` the mean log-probability of
    the first tokens below which the student's answer is discarded, None without escalation. `answered` is the share of
    requests that the student then answers; `retention` the share of the teacher's quality that is kept, and `low` what
    that is at least; both rest on `comparisons`, whose last one was at `at`, microseconds since the Unix epoch, with
    these versions of `student` and `teacher`, against `floor`. `bill` is the share of the teacher's bill for the same
    requests that is then not paid, and `share` that of the measured requests with a score below the threshold; None
    where that is not known.
    """

    artifact: str
    threshold: float
    limit: float | None
    answered: float
    retention: float
    low: float
    comparisons: int
    at: int
    student: str
    teacher: str
    floor: float
    bill: float | None = None
    share: float | None = None


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where one workload is.

    `since`: when the stage began, microseconds since the Unix epoch. `promised` is in force from stage ROUTE on,
    `previous` was before it, and `proposal` waits. `measured_since`: earlier comparisons are set aside, since traffic
    or a model has changed. `looks` counts those since then, and `looked_at` is how many comparisons there were at
    the last one; `missing` is about how many more would let the student answer the share `would_answer`, None where
    that is not known. `student` and `teacher` are the versions that were compared. `why` says in words what made the
    stage, `held` what keeps it from going on now (see `holding`), and `unproven` why the last look gave no proposal;
    all are sentences for the operator, without text of prompts.
    `live`: when what is in force went live. `watched`: requests up to this time were given to the watch of the traffic,
    whose capitals are `capitals`. `margin`: the quality kept since then, as a share of the teacher's, less the floor;
    None before there are enough comparisons. `scorer`: what scored the answers, in words, and `scored_since` since when
    it does, 0 for always. `compared`: how many of the student's answers were since then. `rates` are the
    probabilities of comparing, None for those of the config. `stopped`: the operator has rolled back, so that nothing
    goes live by itself.
    """

    workload: str
    stage: Stage = Stage.OBSERVE
    since: int = 0
    rates: Rates | None = None
    promised: Promised | None = None
    previous: Promised | None = None
    proposal: Promised | None = None
    measured_since: int = 0
    looks: int = 0
    looked_at: int = 0
    missing: int | None = None
    would_answer: float | None = None
    student: str = ""
    teacher: str = ""
    why: str = ""
    held: str = ""
    unproven: str = ""
    live: int = 0
    watched: int = 0
    capitals: tuple[float, ...] = ()
    margin: float | None = None
    compared: int = 0
    stopped: bool = False
    scorer: str = ""
    scored_since: int = 0


# Built at import: where two threads use a type of msgspec for the first time at once, it crashes the process.
_STATE = msgspec.json.Decoder(State)


def is_of(version: str, named: str) -> bool:
    """Whether a version is of the model that the config has `named`, with its revision."""
    return version == named or version.startswith(f"{named} (")


def write_state(state: State) -> str:
    """The state as the ledger has it; see `read_state`."""
    return msgspec.json.encode(state).decode()


def read_state(workload: str, document: str) -> State:
    """The state of a workload, as the ledger has it. Raises BreakevenError for one that cannot be read."""
    try:
        return _STATE.decode(document)
    except msgspec.MsgspecError:
        raise BreakevenError(
            f"workload {workload}: its row in the ledger's table road_states cannot be read; a gateway that runs "
            "begins it anew"
        ) from None
