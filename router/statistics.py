"""Confidence intervals: of a proportion, and by the percentile bootstrap over rows (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 13).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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


def proportion(count: int, of: int) -> Interval:
    """The share `count` of `of` (at least 1), with Wilson's score interval (Journal of the American Statistical
    Association 22, 1927).
    """
    z = NormalDist().inv_cdf(0.975)
    share, more = count / of, z * z / of
    middle = (share + more / 2) / (1 + more)
    half = z / (1 + more) * (share * (1 - share) / of + more / (4 * of)) ** 0.5
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))
