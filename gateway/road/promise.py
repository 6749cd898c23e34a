"""The promise: how much traffic the student can be given so that a quality floor is kept, from compared answers.

A setting is certified where the hypothesis that it breaks the floor is rejected. Settings are tested in the order of
the share of requests that they give to the student, each only if the one before was rejected (fixed-sequence testing,
as in Learn-then-Test, Angelopoulos et al., arXiv 2110.01052), and each look at the growing comparisons has a part of
the error probability of its own. So the probability that any setting that was ever certified breaks the floor is at
most one minus the confidence, as far as the comparisons are a sample of the traffic.

Every comparison both trains and tests: its rank is among requests that its model had not seen either (see `ranks`),
and a share of ranks becomes a threshold only by scores of requests that are new to the final model (see `threshold`).
With the quantiles of pooled held-out scores instead, up to twice the share was handed over on real outcome data.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Shares of the requests that are given to the student, fixed before any comparison is seen.
SHARES: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(1, 21))
# Candidate escalation limits: the mean log-probability of the first tokens of the student's answer. Fixed as well.
LIMITS: tuple[float, ...] = (-1.5, -0.7, -0.3, -0.1)
# The share of requests that more comparisons are asked for, beyond what is certified, and how much less is near enough.
MORE, NEAR = 0.1, 0.02
# Multiples of the comparisons that are tried to say how many are missing.
_MULTIPLES = (1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
_GROWTH = 1.25
_NORMAL = NormalDist()
_HALVINGS = 60


class Comparisons(NamedTuple):
    """Compared requests in any order, (n,) each.

    `rank`: how easy a request is for the student, among requests that its model had not seen, in [0, 1]; 0 is the
    easiest. `student`, `teacher`: scores of the two answers in [0, 1]. `weight`: one over the probability with which
    the request was compared. `logprob`: the mean log-probability of the first tokens of the student's answer; None
    where that is not known, and then escalation is not considered.
    """

    rank: Array
    student: Array
    teacher: Array
    weight: Array
    logprob: Array | None = None


class Setting(NamedTuple):
    """A request goes to the student if its rank is below `share`, in (0, 1]; with a `limit` its answer is discarded
    for the teacher's where its log-probability is below that. `answered`: the share of requests whose answer is then
    the student's.
    """

    share: float
    limit: float | None
    answered: float


class Promise(NamedTuple):
    """The best certified setting, and what was measured of it.

    `retention`: the quality that it keeps, as a share of the teacher's; `low`: what that is at least, with the
    confidence of this look. `comparisons`: how many both rest on.
    """

    setting: Setting
    retention: float
    low: float
    comparisons: int


def error_of_look(look: int, confidence: float) -> float:
    """The error probability of look number `look`, from 1; those of all looks add up to one minus `confidence`."""
    return (1.0 - confidence) / (look * (look + 1))


def next_look(comparisons: int, first: int) -> int:
    """The number of comparisons of the look after `comparisons`: the `first`, and then a quarter more each time."""
    at = first
    while at <= comparisons:
        at = math.ceil(at * _GROWTH)
    return at


def ranks(scores: Array, folds: NDArray[np.int64], weight: Array | None = None) -> Array:
    """The rank in (0, 1) of each held-out score among those of its own fold, (n,): the models of two folds differ, so
    that their scores cannot be compared. With a `weight` (n,) it is the share of the traffic with a lower score.
    """
    found, weight = np.empty(len(scores)), np.ones(len(scores)) if weight is None else weight
    for fold in np.unique(folds):
        own = np.flatnonzero(folds == fold)
        order = own[np.argsort(scores[own], kind="stable")]
        below = np.cumsum(weight[order]) - 0.5 * weight[order]
        found[order] = below / weight[own].sum()
    return found


def balanced(weight: Array, units: NDArray[np.int64]) -> Array:
    """Weights (n,) with which comparisons that were drawn under several units can be used together: those of each unit
    are a sample of the whole traffic, which counts as much as its weights say that it is worth (its effective sample
    size, Kish, Survey Sampling, 1965). With one over the probabilities alone, those that were drawn rarely would hide
    all others.

    `units` (n,) numbers the units.
    """
    found = weight.copy()
    for unit in np.unique(units):
        own = units == unit
        found[own] *= weight[own].sum() / (weight[own] ** 2).sum()
    return found


def threshold(share: float, scores: Array, weight: Array) -> float:
    """The threshold below which `share` of requests lie, from the scores (n,) of requests that are new to the model,
    each with its weight; infinite for a share of 1.
    """
    if share >= 1.0:
        return math.inf
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    return float(scores[order[min(int(np.searchsorted(reached, share)), len(order) - 1)]])


def solve(compared: Comparisons, floor: float, error: float) -> Promise | None:
    """The certified setting with which the student answers most; None where none is certified.

    `floor` in (0, 1): the share of the teacher's quality to keep; `error`: the error probability of this look.
    """
    best = _best(compared, floor, error)
    if best is None:
        return None
    low = _lower_bound(compared, best, error / len(_limits(compared)))
    return Promise(best, retention(compared, best), low, len(compared.rank))


def missing(compared: Comparisons, floor: float, error: float, wanted: float) -> int | None:
    """About how many more comparisons like these would certify that the student answers at least the share `wanted`;
    None where no number would, as far as these tell.
    """
    count = len(compared.rank)
    for multiple in _MULTIPLES:
        setting = _best(compared, floor, error, multiple)
        if setting is not None and setting.answered >= wanted:
            return math.ceil(count * multiple) - count
    return None


def most_tried(count: int) -> int:
    """How many more than so many comparisons `missing` tries at most."""
    return math.ceil(count * _MULTIPLES[-1]) - count


def retention(compared: Comparisons, setting: Setting) -> float:
    """The quality that a setting keeps, as a share of the teacher's; 0 where the teacher's mean score is 0."""
    kept = np.where(_to_teacher(compared, setting.share, setting.limit), compared.teacher, compared.student)
    whole = float(compared.weight @ compared.teacher)
    return float(compared.weight @ kept) / whole if whole else 0.0


def answered(compared: Comparisons, share: float, limit: float | None) -> float:
    """The share of the requests whose answer is the student's under a setting, by weight, in [0, 1]."""
    return float(compared.weight @ ~_to_teacher(compared, share, limit)) / float(compared.weight.sum())


def p_value(values: Array, worst: float, times: float = 1.0) -> float:
    """The p-value of "the mean of what the values were drawn from is at most 0", for independent values (n,), or what
    it would be with so many `times` as many values like these.

    Nonparametric tilting (Efron, Canadian Journal of Statistics 9, 1981): the null distribution is the one on the
    values that is closest to them and has mean 0, and the probability of a mean as large as theirs is found by
    saddlepoint approximation (Lugannani and Rice, Advances in Applied Probability 12, 1980). Unlike a t-test it is
    right where losses are rare and large. `worst`, negative, is the worst value that may occur: it is added once, since
    losses that were not seen yet may exist.
    """
    every, often = np.append(values, worst), np.append(np.full(len(values), times), 1.0)
    count = float(often.sum())
    mean = float(often @ every) / count
    if mean <= 0.0:
        return 1.0
    tilt = _tilt(every, often)
    lowest = float(every.min())
    shifted = math.log(float(often @ np.exp(-tilt * (every - lowest))) / count) - tilt * lowest
    root = math.sqrt(max(2.0 * count * (tilt * mean + shifted), 1e-12))
    scale = max(tilt * math.sqrt(float(often @ (every - mean) ** 2)), 1e-12)
    tail = 1.0 - _NORMAL.cdf(root) + _NORMAL.pdf(root) * (1.0 / scale - 1.0 / root)
    return min(1.0, max(0.0, tail))


def _tilt(values: Array, often: Array) -> float:
    """The t for which the mean of the values, each so `often`, is 0 under weights exp(-t * value), by bisection. The
    lowest value is negative and the mean positive.
    """
    lowest = float(values.min())
    times, above = values * often, values - lowest

    def mean(tilt: float) -> float:
        return float(times @ np.exp(-tilt * above))

    low, high = 0.0, -1.0 / lowest
    while mean(high) > 0.0:
        low, high = high, high * 2.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if mean(middle) > 0.0 else (low, middle)
    return high


def _limits(compared: Comparisons) -> tuple[float | None, ...]:
    return (None,) if compared.logprob is None else (None, *LIMITS)


def _best(compared: Comparisons, floor: float, error: float, times: float = 1.0) -> Setting | None:
    """The certified setting with which the student answers most, with so many times as many comparisons."""
    limits = _limits(compared)
    part = error / len(limits)
    found = (_certified(compared, floor, part, limit, times) for limit in limits)
    return max((one for one in found if one is not None), key=lambda setting: setting.answered, default=None)


def _certified(compared: Comparisons, floor: float, error: float, limit: float | None, times: float) -> Setting | None:
    """Fixed-sequence testing over the SHARES: the last one before the first that is not rejected; None without."""
    found = None
    for share in SHARES:
        up = _to_teacher(compared, share, limit)
        if up.all():
            continue
        if p_value(*_excess(compared, up, floor), times) > error:
            break
        found = Setting(share, limit, answered(compared, share, limit))
    return found


def _lower_bound(compared: Comparisons, setting: Setting, error: float) -> float:
    """The largest floor, to a thousandth, that a setting keeps by the same test."""
    up = _to_teacher(compared, setting.share, setting.limit)
    low, high = 0, 1000
    while high - low > 1:
        middle = (low + high) // 2
        kept = p_value(*_excess(compared, up, middle / 1000)) <= error
        low, high = (middle, high) if kept else (low, middle)
    return low / 1000


def _to_teacher(compared: Comparisons, share: float, limit: float | None) -> Bools:
    up: Bools = compared.rank >= share
    if limit is not None and compared.logprob is not None:
        up = up | (compared.logprob < limit)
    return up


def _excess(compared: Comparisons, up: Bools, floor: float) -> tuple[Array, float]:
    """Each request's weighted score as routed, minus `floor` times the teacher's: a mean of at most 0 breaks the floor.
    And the worst value that a request of the student's may have.
    """
    routed = np.where(up, compared.teacher, compared.student)
    return compared.weight * (routed - floor * compared.teacher), -floor * float(compared.weight[~up].mean())
