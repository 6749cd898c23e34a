"""Where each workload is on the road, in words and figures: all of them measured on this student, or said to be not.

Money is what the teacher was paid for the workload's requests, over the time that the ledger has of them, as a month.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from breakeven.gateway.accounting.money import PICODOLLARS, dollars_of_float
from breakeven.gateway.config.schema import Config
from breakeven.gateway.economics.periods import DAY, HOUR
from breakeven.gateway.economics.quality import Compared, retention
from breakeven.gateway.ledger import Ledger
from breakeven.gateway.ledger.road import Comparison, Event
from breakeven.gateway.reports.labelling import by_people, corrected_text
from breakeven.gateway.road.audit import Trust, scorer_of, trust
from breakeven.gateway.road.judges import Judge, judges
from breakeven.gateway.road.machine import in_force
from breakeven.gateway.road.promise import next_look
from breakeven.gateway.road.stages import Promised, State, read_state
from breakeven.gateway.wire.moments import moment
from breakeven.router.corrected import Corrected
from breakeven.router.policy import Reason, Route
from breakeven.router.statistics import Interval

_MONTH = DAY * 365.25 / 12
# The newest time that the traffic of a month is told from.
_WINDOW = 30 * DAY
# Shorter than this, traffic says nothing about a month.
_SHORTEST = DAY


class Position(NamedTuple):
    """Where one workload is. `comparisons` are those that count now, `retention` the quality of the student's answers
    to all of these requests as a share of the teacher's, with a 95% interval, None before there is any. `monthly_usd`
    is what the teacher is paid for its requests in a month, from so many `hours` of traffic; None where these are too
    few. `operator`: the config or the admin API says what routes, and no stage does. `trust` says how far the `scorer`
    can be trusted for a `floor`, None before a person judged pairs. `corrected` is the retention as people's verdicts
    correct it, None with too few of them, of which there are `verdicts`. `judges` are those that scored; where the
    verdicts of one measure nothing, there is no retention.
    """

    state: State
    comparisons: int
    next_look: int
    retention: Interval | None
    monthly_usd: float | None
    hours: float
    operator: bool
    trust: Trust | None
    scorer: str
    floor: float
    corrected: Corrected | None
    verdicts: int
    judges: Sequence[Judge]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        state = self.state
        return {
            "workload": state.workload,
            "stage": str(state.stage),
            "since": state.since or None,
            "why": state.why,
            "held": state.held or None,
            "routed_by_operator": self.operator,
            "student": state.student,
            "teacher": state.teacher,
            "comparisons": self.comparisons,
            "next_look_at": self.next_look,
            "missing": state.missing,
            "would_answer": state.would_answer,
            "retention": None if self.retention is None else self.retention._asdict(),
            "corrected": None
            if self.corrected is None
            else self.corrected.retained._asdict() | {"verdicts": self.corrected.labels},
            "judges": [one.to_dict() for one in self.judges],
            "margin": state.margin,
            "trust": self._trust(),
            "in_force": _as_json(state.promised),
            "previous": _as_json(state.previous),
            "proposal": _as_json(state.proposal),
            "proposal_saves_usd_per_month": self.saves,
        }

    @property
    def saves(self) -> float | None:
        """What the proposal would save in a month, USD; None without one, or where the traffic is not known."""
        proposal, state = self.state.proposal, self.state
        if proposal is None or self.monthly_usd is None:
            return None
        if proposal.bill is None:
            return None
        # The teacher's bill of today is what is left of its whole bill.
        already = state.promised.bill if in_force(state) and state.promised is not None else 0.0
        if already is None or already >= 1.0:
            return None
        return self.monthly_usd * (proposal.bill - already) / (1.0 - already)

    @property
    def silent(self) -> str:
        """The judges whose verdicts measure nothing, in words; empty without any."""
        return ", ".join(one.name for one in self.judges if not one.consistency.reads)

    def lines(self) -> list[str]:
        """For people."""
        state = self.state
        lines = [f"{state.workload}: {'routed by the operator' if self.operator else state.stage}"]
        if state.since and not self.operator:
            lines[0] += f" since {moment(state.since / 1e6)}"
        if state.why:
            lines.append(f"  {state.why}")
        if state.held:
            lines.append(f"  waits: {state.held}")
        lines.append(f"  {self._measured()}")
        lines += [f"  {line}" for one in self.judges for line in one.lines()]
        if self.verdicts:
            lines.append(f"  {corrected_text(self.corrected, self.verdicts, self.floor)}")
        if self.trust is not None:
            lines.append(f"  {self.trust.text(self.scorer, self.floor)}")
        if state.promised is not None and in_force(state):
            lines.append(f"  in force: {_text(state.promised)}")
            lines.append(f"  {_margin(state)}")
        if state.proposal is not None and not self.operator:
            lines.append(f"  proposal: {_text(state.proposal)}{self._money()}")
            lines.append(f"  `breakeven apply --workload {state.workload}` puts it in force")
        if state.missing is not None and state.would_answer is not None:
            lines.append(f"  about {state.missing} more comparisons would allow about {state.would_answer:.0%}")
        return lines

    def _trust(self) -> dict[str, Any] | None:
        found = self.trust
        if found is None:
            return None
        intervals = {"agreement": found.agreement._asdict(), "bias": found.bias._asdict()}
        return {"scorer": self.scorer, "pairs": found.pairs, **intervals, "confirmed": found.confirmed(self.floor)}

    def _measured(self) -> str:
        if self.retention is None and self.silent:
            return f"the student's quality: not measured: the verdicts of {self.silent} measure nothing"
        if self.retention is None:
            return f"the student's quality: not measured yet; a router is trained at {self.next_look} comparisons"
        low, high = self.retention.low, self.retention.high
        said = f"the student alone keeps {self.retention.value:.1%} ({low:.1%} to {high:.1%}) of the teacher's quality"
        if self.comparisons >= self.next_look:
            return f"{said}, from {self.comparisons} comparisons; a router is trained on them now, or waits"
        return f"{said}, from {self.comparisons} comparisons; the next router is trained at {self.next_look}"

    def _money(self) -> str:
        saves = self.saves
        if saves is None:
            return "; what it saves is not measured yet"
        over = f"{self.hours / 24:.0f} days" if self.hours >= 48 else f"{self.hours:.0f} hours"
        return f"; at the traffic of the last {over} it saves {dollars_of_float(saves)} a month of the teacher's bill"


def positions(ledger: Ledger, config: Config, now: int, *, operator: bool) -> list[Position]:
    """Where each workload of the ledger and the config is. Raises LedgerError."""
    states = {workload: read_state(workload, document) for workload, (_, document) in ledger.road.states().items()}
    names = states.keys() | ledger.road.workloads() | config.workload_names
    return [position(ledger, config, states.get(name) or State(name), now, operator=operator) for name in sorted(names)]


def position(ledger: Ledger, config: Config, state: State, now: int, *, operator: bool) -> Position:
    """Where a workload with this state is. Raises LedgerError."""
    compared = ledger.road.comparisons(state.workload, state.measured_since, state.student)
    pairs = ledger.judged_pairs.pairs(state.workload, state.measured_since, state.student)
    found = judges([one.judged for one in pairs if one.judged is not None])
    paid, hours = _monthly(ledger, state.workload, now)
    return Position(
        state,
        len(compared),
        next_look(state.looked_at, config.road.labels),
        _retention(compared) if all(one.consistency.reads for one in found) else None,
        paid,
        hours,
        operator,
        trust(ledger.conversations.audited(state.workload, state.scored_since, state.student)),
        scorer_of(config),
        config.road.floor,
        by_people(pairs),
        sum(one.verdict is not None for one in pairs),
        found,
    )


def event_line(one: Event) -> str:
    """An event for people."""
    return f"{moment(one.at / 1e6)}  {one.workload or 'all workloads'}  {one.stage}: {one.text}"


def _retention(compared: list[Comparison]) -> Interval | None:
    pairs = [Compared(one.student_score, one.teacher_score, 0, 0, one.weight) for one in compared]
    found = retention(pairs, 1.0) if pairs else None
    return None if found is None else found.student


def _monthly(ledger: Ledger, workload: str, now: int) -> tuple[float | None, float]:
    """What the teacher is paid in a month for routed requests of this workload, USD, and over how many hours that was
    seen.
    """
    since = now - _WINDOW
    hours = sorted(
        (hour, one.cost)
        for one in ledger.sums(("hour", "workload", "upstream", "pinned", "reason"), since - since % HOUR, None)
        for hour, of, upstream, pinned, reason in [one.group]
        if of == workload and upstream == Route.TEACHER and not pinned and reason != Reason.SHADOW
    )
    if not hours:
        return None, 0.0
    first = int(str(hours[0][0])) * HOUR
    span = now - first
    if span < _SHORTEST:
        return None, span / HOUR
    return sum(cost for _, cost in hours) / PICODOLLARS * _MONTH / span, span / HOUR


def _text(found: Promised) -> str:
    limit = "" if found.limit is None else f", discarded where its first tokens are less likely than {found.limit:g}"
    return (
        f"{found.answered:.0%} of the requests are answered by the student{limit}; of the teacher's quality "
        f"{found.retention:.1%} was kept, and at least {found.low:.1%} is; from {found.comparisons} comparisons, floor "
        f"{found.floor:.1%}, router {found.artifact}, {_threshold(found)}"
    )


def _threshold(found: Promised) -> str:
    if found.share is None:
        return f"threshold {found.threshold:.4f}"
    hardest = 1.0 - found.share
    if hardest <= 0.0:
        return f"none of the measured traffic is too hard for the student (threshold {found.threshold:.4f})"
    return f"the hardest {hardest:.0%} of the measured traffic to the teacher (threshold {found.threshold:.4f})"


def _margin(state: State) -> str:
    if state.margin is None:
        return "since then: not measured yet; at least 30 comparisons are needed"
    side = "above" if state.margin >= 0 else "below"
    return f"since then: {abs(100 * state.margin):.1f} points of quality {side} the floor"


def _as_json(found: Promised | None) -> dict[str, Any] | None:
    return None if found is None else dict(msgspec.structs.asdict(found))
