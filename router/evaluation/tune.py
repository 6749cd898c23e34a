"""Choosing the threshold: for a share of teacher calls, for a budget, or for a quality floor with a guarantee.

The guarantee is distribution-free: Learn-then-Test (Angelopoulos et al., arXiv 2110.01052) over a fixed grid of
thresholds, tested in sequence from the teacher's side, each with a p-value by betting (Waudby-Smith and Ramdas,
arXiv 2010.09686) for the hypothesis that the routed quality is below the floor. The returned threshold breaks the floor
with a probability of at most one minus the confidence, over the sampling of the rows, however good the scores are, as
long as traffic has the distribution of the rows.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.router.statistics import ratio_of_means

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Fixed before any row is seen, as the guarantee requires. The last sends only novel requests to the teacher.
GRID: Array = np.append(np.arange(0, 1000) / 1000, 1.0)
# Candidate escalation limits: the mean log-probability of an answer's first tokens.
FLOORS = (-3.0, -2.0, -1.5, -1.0, -0.7, -0.5, -0.3, -0.2, -0.1)
_RESAMPLES = 1000
_SEED = 20261125
# Multiples of the given rows that are tried to estimate how many would be enough.
_MULTIPLES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
# A bet is at most this share of the largest one that cannot lose all capital.
_MAX_BET = 0.75


class TuneError(ValueError):
    """The goal cannot be reached or guaranteed; the message says what is missing."""


class Traffic(NamedTuple):
    """Scored prompts, (n,) each.

    `novel` prompts go to the teacher at every threshold. `student` and `teacher` are the scores of their answers in
    [0, 1], `cost` the teacher's price for each prompt in USD, `logprob` the mean log-probability of the first tokens of
    the student's answer; each None where it is not known.
    """

    score: Array
    novel: Bools
    student: Array | None = None
    teacher: Array | None = None
    cost: Array | None = None
    logprob: Array | None = None

    def sent_up(self, threshold: float, min_logprob: float | None = None) -> Bools:
        """Which prompts the teacher answers, (n,): by threshold or novelty, or by escalation below `min_logprob`."""
        up: Bools = self.novel | (self.score >= threshold)
        if min_logprob is not None and self.logprob is not None:
            up = up | (self.logprob < min_logprob)
        return up


class Point(NamedTuple):
    """The effect of a threshold on the traffic.

    `share` of requests that go to the teacher; `retention`: mean quality divided by the teacher's, with a 95% bootstrap
    interval `low` to `high`; `teacher_usd`: the teacher's cost divided by all requests. None where it is not known.
    """

    threshold: float
    share: float
    retention: float | None
    low: float | None
    high: float | None
    teacher_usd: float | None
    min_logprob: float | None = None


def point(traffic: Traffic, threshold: float, min_logprob: float | None = None) -> Point:
    """The effect of a threshold, and of escalation below `min_logprob` where given."""
    up = traffic.sent_up(threshold, min_logprob)
    usd = None if traffic.cost is None else float((traffic.cost * up).sum() / len(up))
    retention = low = high = None
    if traffic.student is not None and traffic.teacher is not None:
        routed = np.where(up, traffic.teacher, traffic.student)
        retention, low, high = ratio_of_means(routed, traffic.teacher, resamples=_RESAMPLES, seed=_SEED)
    return Point(threshold, float(up.mean()), retention, low, high, usd, min_logprob)


def for_share(traffic: Traffic, share: float) -> float:
    """The smallest threshold that sends at most this `share` of the requests, in [0, 1], to the teacher.

    Raises TuneError where a larger share is novel.
    """
    allowed = int(np.floor(share * len(traffic.score) + 1e-9)) - int(traffic.novel.sum())
    if allowed < 0:
        raise TuneError(
            f"{traffic.novel.mean():.1%} of the requests are novel and go to the teacher at any threshold: a share of "
            f"{share:.1%} needs a higher novelty threshold, or a reference set that is like the traffic"
        )
    return _after(np.sort(traffic.score[~traffic.novel])[::-1], allowed)


def for_budget(traffic: Traffic, usd_per_request: float) -> float:
    """The smallest threshold at which the teacher costs at most `usd_per_request`, averaged over all requests.

    Raises TuneError where costs are not known or the novel requests alone cost more.
    """
    if traffic.cost is None:
        raise TuneError(
            "no costs are known; give rows with teacher_tokens, or tune from a ledger with enough compared answers "
            "(road.sample)"
        )
    left = usd_per_request * len(traffic.score) - float(traffic.cost[traffic.novel].sum())
    if left < 0:
        raise TuneError("the novel requests alone cost more than the budget; raise it or the novelty threshold")
    rest = ~traffic.novel
    order = np.argsort(-traffic.score[rest], kind="stable")
    spent = np.cumsum(traffic.cost[rest][order])
    return _after(traffic.score[rest][order], int((spent <= left + 1e-12).sum()))


def for_quality(traffic: Traffic, floor: float, confidence: float) -> float:
    """The largest threshold on the grid that keeps at least `floor` of the teacher's quality, with this `confidence`.

    Both are in (0, 1). Raises TuneError where no threshold that sends anything to the student can be guaranteed; the
    message estimates how many more rows are needed, where more rows would help.
    """
    found = certified(traffic, floor, confidence)
    if found is not None:
        return found
    reached = [t for t in tested(traffic) if excess(traffic, t, floor).mean() > 0]
    if not reached:
        raise TuneError(
            f"at no threshold the student's answers keep {floor:.1%} of the teacher's quality on these rows: more rows "
            "will not help, lower the floor or train a better router or student"
        )
    rows = len(traffic.score)
    for multiple in _MULTIPLES:
        if certified(repeated(traffic, multiple), floor, confidence) is not None:
            raise TuneError(
                f"{rows} rows are too few to promise {floor:.1%} with {confidence:.0%} confidence: about "
                f"{rows * (multiple - 1)} more are needed, if they are like these"
            )
    raise TuneError(
        f"{rows} rows are too few to promise {floor:.1%} with {confidence:.0%} confidence: more than "
        f"{rows * (_MULTIPLES[-1] - 1)} are missing; lower the floor or the confidence"
    )


def for_quality_and_escalation(traffic: Traffic, floor: float, confidence: float) -> tuple[float, float | None]:
    """The threshold and the escalation limit that together send the fewest requests to the teacher.

    Each limit in FLOORS, and no escalation, is a test sequence of its own with an equal part of the error probability
    (Bonferroni). Raises TuneError as `for_quality` does, and where log-probabilities are not known.
    """
    if traffic.logprob is None:
        raise TuneError("no log-probabilities are known; give rows with student_mean_logprob")
    choices = (None, *FLOORS)
    strict = strict_confidence(confidence)
    found = [(at, certified(traffic, floor, strict, at)) for at in choices]
    solved = [(float(traffic.sent_up(t, at).mean()), t, at) for at, t in found if t is not None]
    if not solved:
        # Raises the error for the threshold alone, which applies here too.
        return for_quality(traffic, floor, strict), None
    _, threshold, at = min(solved, key=lambda one: one[0])
    return threshold, at


def strict_confidence(confidence: float) -> float:
    """The confidence of each test sequence where an escalation limit is solved too; that of all together is given."""
    return 1.0 - (1.0 - confidence) / (1 + len(FLOORS))


def certified(traffic: Traffic, floor: float, confidence: float, min_logprob: float | None = None) -> float | None:
    """Fixed-sequence testing: the last threshold before the first whose hypothesis is not rejected; None without."""
    order = np.random.default_rng(_SEED).permutation(len(traffic.score))
    found = None
    for threshold in tested(traffic):
        if not _kept(excess(traffic, threshold, floor, min_logprob)[order], floor, confidence):
            break
        found = threshold
    return found


def _kept(values: Array, floor: float, confidence: float) -> bool:
    """Whether "the floor is broken" is rejected, by the bets and by the mean of all values, (n,) in random order.

    The bets alone give the guarantee. They may be won on the first rows, though, while all rows together measure a
    quality below the floor: such a promise would contradict the figure beside it.
    """
    limit = NormalDist().inv_cdf(confidence) * float(values.std()) / math.sqrt(len(values))
    return betting_p_value(values, floor) <= 1.0 - confidence and float(values.mean()) > limit


def tested(traffic: Traffic) -> list[float]:
    """The thresholds of the grid that send something to the student, one for each distinct set of such rows."""
    ends = np.sort(traffic.score[~traffic.novel])
    sent = np.searchsorted(ends, GRID, side="left")
    return [float(t) for i, t in enumerate(GRID) if sent[i] and (i + 1 == len(GRID) or sent[i + 1] != sent[i])]


def excess(traffic: Traffic, threshold: float, floor: float, min_logprob: float | None = None) -> Array:
    """Each routed answer's score minus `floor` times the teacher's; its mean is at most 0 where the floor is broken."""
    if traffic.student is None or traffic.teacher is None:
        raise TuneError("a quality floor needs outcome rows: the ledger has no scores of answers")
    up = traffic.sent_up(threshold, min_logprob)
    found: Array = np.where(up, traffic.teacher, traffic.student) - floor * traffic.teacher
    return found


def betting_p_value(values: Array, bound: float) -> float:
    """The p-value of "the mean is at most 0" for independent values >= -bound, (n,), in random order.

    The capital of a gambler who bets on a positive mean, each bet depending on the values before it, is a
    supermartingale under the hypothesis: by Ville's inequality it reaches 1 / p with a probability of at most p.
    """
    before = np.arange(1, len(values) + 1, dtype=np.float64)
    # A prior pseudo-observation keeps the first bets small.
    mean = (np.concatenate([[0.0], np.cumsum(values)[:-1]])) / before
    square = (np.concatenate([[0.25], 0.25 + np.cumsum(values**2)[:-1]])) / before
    bet = np.clip(mean / np.maximum(square, 1e-12), 0.0, _MAX_BET / max(bound, 1e-12))
    capital = np.cumsum(np.log1p(bet * values))
    return float(min(1.0, np.exp(-max(0.0, capital.max()))))


def repeated(traffic: Traffic, times: int) -> Traffic:
    """So many times as many rows like these."""
    return Traffic(*(None if part is None else np.tile(part, times) for part in traffic))  # type: ignore[arg-type]


def _after(falling: Array, count: int) -> float:
    """The smallest threshold that at most `count` of these scores, sorted in descending order, reach."""
    if count >= len(falling):
        return 0.0
    # Scores tied with the first one that must not reach it do not reach it either.
    return min(1.0, float(np.nextafter(falling[count], 2.0)))
