"""What `breakeven tune` says of its choice: what it rests on, and what more labelled rows would allow."""

from __future__ import annotations

from typing import Any, NamedTuple

from breakeven.gateway.reports import labels as compared_answers
from breakeven.gateway.reports.labels import Labels
from breakeven.gateway.reports.tuning import Goal
from breakeven.gateway.road import promise
from breakeven.router.evaluation import outlook as of_rows
from breakeven.router.evaluation.tune import Point, Traffic, strict_confidence

# Less of the requests more is not worth the rows.
_LEAST = 0.03
# Where the student answers less than this, hardly anything is saved.
_LITTLE = 0.1
# Three times as many rows more make an interval half as wide.
_HALF = 3
# Half the width of an interval that is said; an interval without a width says nothing.
_TELLS = 0.0005


class Outlook(NamedTuple):
    """What a choice rests on, and what more would allow.

    `labelled` rows of the kind `noun`. With a quality floor: `answered` is the share of the requests that the
    student answers, `measured` the largest share at which these rows keep the floor without a promise, and `more` about
    how many more rows would allow the share `would_answer`; both None where no number that was tried would, and
    `would_answer` also where the student answers everything. `tried`: the largest such number, 0 where these are too
    many to try more, None where they measure that no number would.
    """

    labelled: int
    noun: str
    answered: float
    measured: float | None = None
    more: int | None = None
    would_answer: float | None = None
    tried: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values; shares in [0, 1]."""
        return {
            "labelled": self.labelled,
            "student_share": self.answered,
            "measured_student_share": self.measured,
            "more_labelled": self.more,
            "would_allow_student_share": self.would_answer,
        }


def outlook(traffic: Traffic, goal: Goal, chosen: Point, labels: Labels | None) -> Outlook | None:
    """What is known of the `chosen` point; None where no answers were scored. Arguments as for `tuning.tune`."""
    if labels is not None:
        if labels.missing:
            return None
        known = Outlook(len(labels.score), "comparisons", 1.0 - chosen.share)
    elif traffic.student is None:
        return None
    else:
        known = Outlook(len(traffic.score), "rows", 1.0 - chosen.share)
    if goal.quality is None:
        return known
    if labels is not None:
        measured = compared_answers.measured_share(labels, goal.quality, chosen.min_logprob)
    else:
        measured = of_rows.measured_share(traffic, goal.quality, chosen.min_logprob)
    known = known._replace(measured=measured)
    # What is measured is only reached with rows without end: at most half of the way.
    gain = min(promise.MORE, (measured - known.answered) / 2)
    if gain < _LEAST:
        return known
    wanted = known.answered + gain
    more = _missing(traffic, goal, goal.quality, chosen, labels, wanted - promise.NEAR)
    tried = (of_rows if labels is None else promise).most_tried(known.labelled)
    return known._replace(more=more, would_answer=None if more is None else wanted, tried=tried)


def _missing(
    traffic: Traffic, goal: Goal, floor: float, chosen: Point, labels: Labels | None, wanted: float
) -> int | None:
    if labels is not None:
        return compared_answers.missing_comparisons(labels, floor, goal.confidence, wanted, escalation=goal.escalation)
    confidence = strict_confidence(goal.confidence) if goal.escalation else goal.confidence
    return of_rows.missing_rows(traffic, floor, confidence, wanted, chosen.min_logprob)


def sentences(found: Outlook, goal: Goal, chosen: Point) -> list[str]:
    """The outlook for people: the choice in words, why it is not a larger share, and what more rows would allow."""
    rows = f"{found.labelled:,} {found.noun}"
    if goal.quality is None:
        return _measured(found, chosen, rows)
    answers = f"the student answers {found.answered:.1%} of the requests, the teacher {chosen.share:.1%}"
    promised = f"with {goal.confidence:.0%} confidence at least {goal.quality:.1%} of the teacher's quality is kept"
    said = [f"{answers}: {promised}, from {rows}"]
    if found.answered < _LITTLE:
        said.append(f"nearly everything goes to the teacher, so that hardly anything is saved: {_why(found, rows)}")
    if found.more is not None and found.would_answer is not None:
        more = f"about {found.more:,} more {found.noun} like these would allow about {found.would_answer:.0%}"
        said.append(f"{more} for the student")
    elif found.answered < 1.0 - promise.NEAR and found.tried != 0:
        so_many = "" if found.tried is None else f"even {found.tried:,} "
        more = f"{so_many}more {found.noun} like these would hardly allow a larger share for the student"
        said.append(f"{more}; a better router or student would, or a lower --quality")
    return said


def _measured(found: Outlook, chosen: Point, rows: str) -> list[str]:
    if chosen.retention is None or chosen.low is None or chosen.high is None:
        return []
    interval = f"95% interval {chosen.low:.1%} to {chosen.high:.1%}"
    said = [f"the quality of {chosen.retention:.1%} is measured, and not promised: {interval}, from {rows}"]
    half = (chosen.high - chosen.low) / 4
    if half >= _TELLS:
        more = f"about {_HALF * found.labelled:,} more {found.noun} would make the interval half as wide"
        said.append(f"{more}, about {half:.1%} to each side; --quality promises a floor")
    return said


def _why(found: Outlook, rows: str) -> str:
    """Whether it is the number of rows that allows so little, or what the student answers."""
    if found.measured is not None and found.measured >= found.answered + _LEAST:
        return (
            f"{rows} measure that the floor is kept up to {found.measured:.0%} for the student, but are too few to "
            "promise it"
        )
    return "the student's answers to the other requests do not keep the floor"
