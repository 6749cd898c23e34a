"""What the next student would move from the teacher to itself, in USD a month: only what was measured of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from breakeven.gateway.accounting.money import dollars, exact
from breakeven.gateway.accounting.prices import Price, cost
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.config.schema import Config
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.monthly import Tokens
from breakeven.gateway.road import machine
from breakeven.gateway.road.candidate import Experiment, Phase
from breakeven.gateway.road.stages import Promised, State, read_state


class OfWorkload(NamedTuple):
    """One workload: what is certified for the candidate and what is in force of the student, None without; and how
    many comparisons there are of the candidate.
    """

    certified: Promised | None
    in_force: Promised | None
    comparisons: int


class NextStudent(NamedTuple):
    """What is known of the next student. `named`: the candidate of the config, None without one; `phase`: what became
    of it, None before anything was compared; `needed`: the comparisons of a workload that a router of its own takes.
    """

    named: str | None
    phase: Phase | None
    needed: int
    workloads: dict[str, OfWorkload]

    def lines(self, traffic: Mapping[str, Tokens], price: Price) -> Iterator[str]:
        """For people: of each workload what would move, by the tokens of a month and the teacher's prices."""
        if self.named is None:
            yield (
                "Next student: not measured yet. Name one as `candidate` in the config: it answers the requests that "
                f"are compared anyway, and {self.needed} comparisons of a workload can certify what it may answer."
            )
            return
        if self.phase is Phase.PROMOTED:
            yield f"Next student: {self.named} is promoted; name it as the student in the config, then the next one."
            return
        if self.phase is Phase.DROPPED:
            yield f"Next student: {self.named} is dropped; see `breakeven candidate status`, and name another one."
            return
        if not self.workloads:
            yield f"Next student {self.named}: not measured yet; nothing was compared so far."
        for workload, one in self.workloads.items():
            yield f"Next student {self.named}, {workload}: {self._said(one, traffic.get(workload), price)}"

    def _said(self, one: OfWorkload, tokens: Tokens | None, price: Price) -> str:
        found = one.certified
        if found is None:
            return f"not measured yet; {self._missing(one)}."
        if tokens is None:
            return "no traffic of it in the period."
        answers = (
            f"it would answer {found.answered:.0%} of the requests and keep {found.low:.1%} or more of the quality"
        )
        if found.bill is None:
            return f"{answers}; their share of the teacher's bill is not known."
        bill = _bill(tokens, price)
        now = 0 if one.in_force is None or one.in_force.bill is None else int(bill * one.in_force.bill)
        return (
            f"{answers}, which moves {dollars(int(bill * found.bill))} of the teacher's {dollars(bill)} a month to "
            f"itself; the student of now has {dollars(now)} (from {found.comparisons} comparisons)."
        )

    def _missing(self, one: OfWorkload) -> str:
        if one.comparisons < self.needed:
            return f"{one.comparisons} of the {self.needed} comparisons that a router of its own takes are there"
        if self.phase is not Phase.BETTER:
            return (
                f"{one.comparisons} comparisons are there, and a router is trained once it is shown to be better than "
                "the student (`breakeven candidate status`)"
            )
        return f"no router is certified for it from {one.comparisons} comparisons"

    def to_dict(self, traffic: Mapping[str, Tokens], price: Price) -> dict[str, Any]:
        """As JSON values; null for what was not measured. Money in USD a month."""
        return {
            "candidate": self.named,
            "phase": None if self.phase is None else str(self.phase),
            "comparisons_needed": self.needed,
            "workloads": {name: _to_dict(one, traffic.get(name), price) for name, one in self.workloads.items()},
        }


def next_student(ledger: Ledger, config: Config, experiment: Experiment) -> NextStudent | None:
    """What the ledger knows of the candidate of the config; None without a student.

    Raises LedgerError, and BreakevenError for a state that cannot be read.
    """
    if config.student is None:
        return None
    candidate = config.candidate
    if candidate is None:
        return NextStudent(None, None, config.road.labels, {})
    known = bool(experiment.candidate) and experiment.named == candidate.named
    phase = experiment.phase if known else None
    states = {name: read_state(name, document) for name, (_, document) in ledger.road.states().items()}
    found = {}
    for name, state in sorted(states.items()):
        rows = ledger.road.comparisons(name, experiment.begun, experiment.candidate) if known else []
        road = experiment.roads.get(name) if known else None
        found[name] = OfWorkload(None if road is None else road.proposal, _promised(state), len(rows))
    return NextStudent(candidate.named, phase, config.road.labels, found)


def _promised(state: State) -> Promised | None:
    return state.promised if machine.in_force(state) else None


def _bill(tokens: Tokens, price: Price) -> int:
    """What the teacher alone would cost for these tokens, in picodollars."""
    return cost(Usage(tokens.input, tokens.cached, tokens.output, True), price).total


def _to_dict(one: OfWorkload, tokens: Tokens | None, price: Price) -> dict[str, Any]:
    bill = None if tokens is None else _bill(tokens, price)

    def moved(promised: Promised | None) -> str | None:
        if bill is None or promised is None or promised.bill is None:
            return None
        return exact(int(bill * promised.bill))

    return {
        "comparisons": one.comparisons,
        "teacher_alone_usd": None if bill is None else exact(bill),
        "moves_usd": moved(one.certified),
        "moved_now_usd": moved(one.in_force),
    }
