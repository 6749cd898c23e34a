"""Solving the threshold: for a share, for a budget, or for a quality floor with a guarantee. Pure arithmetic.

The guarantee is distribution-free: Learn-then-Test (Angelopoulos et al., arXiv 2110.01052) over a fixed grid of
thresholds, tested in order from the teacher's side on, each with a p-value by betting (Waudby-Smith and Ramdas,
arXiv 2010.09686) for the hypothesis that the routed quality is below the floor. The threshold returned breaks
the floor with a probability of at most one minus the confidence, over the drawing of the rows, whatever the
scores are worth, as long as traffic is drawn like the rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.statistics import ratio_of_means

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Fixed before any row is seen, as the guarantee asks. The last sends nothing up but what is novel.
GRID: Array = np.append(np.arange(0, 1000) / 1000, 1.0)
# Floors of the mean log-probability of an answer's start, for thresholds solved together with escalation.
FLOORS = (-3.0, -2.0, -1.5, -1.0, -0.7, -0.5, -0.3, -0.2, -0.1)
_RESAMPLES = 1000
_SEED = 20261125
# How many times the rows that are there the search for a sufficient number goes up to.
_MULTIPLES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
# A bet loses at most this share of what would ruin it.
_BOLDNESS = 0.75


class TuneError(ValueError):
    """What was asked for cannot be reached or promised; the message says what is missing."""


class Traffic(NamedTuple):
    """Scored prompts, (n,) each: `novel` ones go to the teacher at every threshold.

    `student` and `teacher` are their quality in [0, 1], None where it is not known; `cost` is what the teacher
    takes for each, in USD, None where it is not known; `logprob` is the mean log-probability of the start of the
    student's answer, None where escalation is not looked at.
    """

    score: Array
    novel: Bools
    student: Array | None = None
    teacher: Array | None = None
    cost: Array | None = None
    logprob: Array | None = None

    def sent_up(self, threshold: float, min_logprob: float | None = None) -> Bools:
        """Which are answered by the teacher, those among them that are escalated below `min_logprob`."""
        up: Bools = self.novel | (self.score >= threshold)
        if min_logprob is not None and self.logprob is not None:
            up = up | (self.logprob < min_logprob)
        return up


class Point(NamedTuple):
    """What a threshold means for the traffic.

    `share` of requests that go to the teacher; `retention`: mean quality over the teacher's, with a 95% bootstrap
    interval; `teacher_usd`: what the teacher takes, per request of all. None where it is not known.
    """

    threshold: float
    share: float
    retention: float | None
    low: float | None
    high: float | None
    teacher_usd: float | None
    min_logprob: float | None = None


def point(traffic: Traffic, threshold: float, min_logprob: float | None = None) -> Point:
    """What this threshold means, together with escalation below `min_logprob` where given."""
    up = traffic.sent_up(threshold, min_logprob)
    usd = None if traffic.cost is None else float((traffic.cost * up).sum() / len(up))
    retention = low = high = None
    if traffic.student is not None and traffic.teacher is not None:
        routed = np.where(up, traffic.teacher, traffic.student)
        retention, low, high = ratio_of_means(routed, traffic.teacher, resamples=_RESAMPLES, seed=_SEED)
    return Point(threshold, float(up.mean()), retention, low, high, usd, min_logprob)


def for_share(traffic: Traffic, share: float) -> float:
    """The smallest threshold that sends at most this share to the teacher.

    Raises TuneError where more is novel than that.
    """
    allowed = int(np.floor(share * len(traffic.score) + 1e-9)) - int(traffic.novel.sum())
    if allowed < 0:
        raise TuneError(
            f"{traffic.novel.mean():.1%} of the requests are novel and go to the teacher at any threshold: a share of "
            f"{share:.1%} needs a higher novelty threshold, or a reference set that is like the traffic"
        )
    return _after(np.sort(traffic.score[~traffic.novel])[::-1], allowed)


def for_budget(traffic: Traffic, usd_per_request: float) -> float:
    """The smallest threshold at which the teacher takes at most this much, per request of all.

    Raises TuneError where the cost is not known or the novel requests alone take more.
    """
    if traffic.cost is None:
        raise TuneError(
            "no costs are known; give rows with teacher_tokens, or tune from a ledger with enough compared answers "
            "(shadow.rate)"
        )
    left = usd_per_request * len(traffic.score) - float(traffic.cost[traffic.novel].sum())
    if left < 0:
        raise TuneError("the budget does not even pay for the novel requests; raise it or the novelty threshold")
    rest = ~traffic.novel
    order = np.argsort(-traffic.score[rest], kind="stable")
    spent = np.cumsum(traffic.cost[rest][order])
    return _after(traffic.score[rest][order], int((spent <= left + 1e-12).sum()))


def for_quality(traffic: Traffic, floor: float, confidence: float) -> float:
    """The largest threshold on the grid at which quality is at least `floor` of the teacher's, with `confidence`.

    Raises TuneError where no threshold that sends anything to the student can be promised; it says how many rows
    are missing, if more rows like these would do.
    """
    found = _certified(traffic, floor, confidence)
    if found is not None:
        return found
    reached = [t for t in _tested(traffic) if _excess(traffic, t, floor).mean() > 0]
    if not reached:
        raise TuneError(
            f"at no threshold the student's answers keep {floor:.1%} of the teacher's quality on these rows: more rows "
            "will not help, lower the floor or train a better router or student"
        )
    rows = len(traffic.score)
    for multiple in _MULTIPLES:
        if _certified(_repeated(traffic, multiple), floor, confidence) is not None:
            raise TuneError(
                f"{rows} rows are too few to promise {floor:.1%} with {confidence:.0%} confidence: about "
                f"{rows * (multiple - 1)} more are needed, if they are like these"
            )
    raise TuneError(
        f"{rows} rows are too few to promise {floor:.1%} with {confidence:.0%} confidence: more than "
        f"{rows * (_MULTIPLES[-1] - 1)} are missing; lower the floor or the confidence"
    )


def for_quality_and_escalation(traffic: Traffic, floor: float, confidence: float) -> tuple[float, float | None]:
    """Threshold and floor of the log-probability, together, at which the fewest requests reach the teacher.

    Each of FLOORS, and no escalation, is a sequence of its own and gets an equal part of the risk. Raises TuneError
    as `for_quality` does.
    """
    if traffic.logprob is None:
        raise TuneError("no log-probabilities are known; give rows with student_mean_logprob")
    choices = (None, *FLOORS)
    strict = 1.0 - (1.0 - confidence) / len(choices)
    found = [(at, _certified(traffic, floor, strict, at)) for at in choices]
    solved = [(float(traffic.sent_up(t, at).mean()), t, at) for at, t in found if t is not None]
    if not solved:
        # What is missing for the prompt's threshold alone is missing here too.
        return for_quality(traffic, floor, strict), None
    _, threshold, at = min(solved, key=lambda one: one[0])
    return threshold, at


def _certified(traffic: Traffic, floor: float, confidence: float, min_logprob: float | None = None) -> float | None:
    """Fixed-sequence testing: the last threshold before the first that cannot be promised."""
    order = np.random.default_rng(_SEED).permutation(len(traffic.score))
    found = None
    for threshold in _tested(traffic):
        if betting_p_value(_excess(traffic, threshold, floor, min_logprob)[order], floor) > 1.0 - confidence:
            break
        found = threshold
    return found


def _tested(traffic: Traffic) -> list[float]:
    """Thresholds of the grid that send something to the student, once for each set of rows sent up."""
    ends = np.sort(traffic.score[~traffic.novel])
    sent = np.searchsorted(ends, GRID, side="left")
    return [float(t) for i, t in enumerate(GRID) if sent[i] and (i + 1 == len(GRID) or sent[i + 1] != sent[i])]


def _excess(traffic: Traffic, threshold: float, floor: float, min_logprob: float | None = None) -> Array:
    """By how much each routed answer is above the floor; its mean is 0 or less where the floor is broken."""
    if traffic.student is None or traffic.teacher is None:
        raise TuneError("a quality floor needs outcome rows; the ledger does not know how good an answer was")
    up = traffic.sent_up(threshold, min_logprob)
    excess: Array = np.where(up, traffic.teacher, traffic.student) - floor * traffic.teacher
    return excess


def betting_p_value(values: Array, bound: float) -> float:
    """p-value for "the mean is at most 0" of independent values that are at least -bound, in random order.

    The capital of a gambler who bets on a positive mean, by what was seen so far, is a martingale at worst:
    by Ville's inequality it ever reaches 1 / p with a probability of at most p.
    """
    before = np.arange(1, len(values) + 1, dtype=np.float64)
    # One value in the middle is as if seen before the first, so that the first bets are careful.
    mean = (np.concatenate([[0.0], np.cumsum(values)[:-1]])) / before
    square = (np.concatenate([[0.25], 0.25 + np.cumsum(values**2)[:-1]])) / before
    bet = np.clip(mean / np.maximum(square, 1e-12), 0.0, _BOLDNESS / max(bound, 1e-12))
    capital = np.cumsum(np.log1p(bet * values))
    return float(min(1.0, np.exp(-max(0.0, capital.max()))))


def _repeated(traffic: Traffic, times: int) -> Traffic:
    return Traffic(*(None if part is None else np.tile(part, times) for part in traffic))  # type: ignore[arg-type]


def _after(falling: Array, count: int) -> float:
    """The smallest threshold that takes at most `count` of these scores, which fall."""
    if count >= len(falling):
        return 0.0
    # What ties with the first that must stay stays too.
    return min(1.0, float(np.nextafter(falling[count], 2.0)))
