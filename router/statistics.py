"""Confidence intervals: of a proportion, of a ratio of means with few pairs, and by the percentile bootstrap over rows
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Z = 1.959964  # normal quantile of a two-sided 95% interval


class Interval(NamedTuple):
    """An estimate and its 95% confidence interval; `low` and `high` are nan where it cannot be computed."""

    value: float
    low: float
    high: float


def percentile_interval(value: float, draws: Array) -> Interval:
    """An estimate with the interval of the middle 95% of its values over bootstrap samples, `draws` (n,).

    Values that are not finite are left out.
    """
    finite = draws[np.isfinite(draws)]
    low, high = np.percentile(finite, [2.5, 97.5]) if len(finite) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high))


def ratio_of_means(numerator: Array, denominator: Array, *, resamples: int, seed: int) -> Interval:
    """mean(numerator) / mean(denominator) of paired values, (n,) each with n >= 1, with a bootstrap interval.

    Pairs are resampled `resamples` times. The value is 0 where the denominator's mean is 0.
    """
    drawn = np.random.default_rng(seed).integers(0, len(numerator), (resamples, len(numerator)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = numerator[drawn].mean(axis=1) / denominator[drawn].mean(axis=1)
    whole = denominator.mean()
    return percentile_interval(float(numerator.mean() / whole) if whole else 0.0, ratios)


def proportion(count: float, of: float) -> Interval:
    """The share `count` of `of`, at least 1 and also an effective number, with Wilson's score interval (Journal of the
    American Statistical Association 22, 1927).
    """
    z = NormalDist().inv_cdf(0.975)
    share, more = count / of, z * z / of
    middle = (share + more / 2) / (1 + more)
    half = z / (1 + more) * (share * (1 - share) / of + more / (4 * of)) ** 0.5
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def retained(scored: Sequence[tuple[float, float, float]]) -> Interval | None:
    """The share of the teacher's quality that answers keep, with its 95% interval; None where the teacher's scores are
    all 0, and without any.

    Each is the score of the answer, the score of the teacher's answer, and a weight. The interval is that of a
    linearised ratio (Cochran, Sampling Techniques, 1977, section 6.4) with two pairs added, one tied and one lost
    completely: without them, a few pairs without a loss would give an interval of zero width (Agresti and Coull, 1998,
    do the same for a proportion).
    """
    if not scored:
        return None
    weights = math.fsum(weight for _, _, weight in scored)
    student_sum = math.fsum(weight * student for student, _, weight in scored)
    teacher_sum = math.fsum(weight * teacher for _, teacher, weight in scored)
    if teacher_sum <= 0:
        return None
    mean = weights / len(scored)
    padded = [*scored, (1.0, 1.0, mean), (0.0, 1.0, mean)]
    total = math.fsum(weight * teacher for _, teacher, weight in padded)
    centre = math.fsum(weight * student for student, _, weight in padded) / total
    squares = math.fsum((weight * (student - centre * teacher)) ** 2 for student, teacher, weight in padded)
    half = Z * math.sqrt(squares * len(padded) / (len(padded) - 1)) / total
    estimate = student_sum / teacher_sum
    return Interval(estimate, min(estimate, max(0.0, centre - half)), max(estimate, centre + half))
