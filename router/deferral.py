"""Features for escalation: how confident the student is in its answer so far, from its token log-probabilities.

Length-normalised and quantile features instead of the sum, which mostly measures length (Gupta et al.,
arXiv 2404.10136).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

LOW_QUANTILE = 0.2


class Confidence(NamedTuple):
    """Statistics of token log-probabilities (natural logarithms, in [-20, 0]).

    `mean`; `low`, the LOW_QUANTILE; `slope`, the change for each token of a least-squares line.
    """

    mean: float
    low: float
    slope: float


def confidence(logprobs: Sequence[float]) -> Confidence | None:
    """The statistics of the log-probabilities of an answer's first tokens; None where none is a number."""
    # A server may write -inf or -9999 for a token outside its top list: one such token must not dominate the mean.
    values = [max(-20.0, min(0.0, value)) for value in logprobs if not math.isnan(value)]
    if not values:
        return None
    count = len(values)
    mean = math.fsum(values) / count
    low = sorted(values)[min(count - 1, int(LOW_QUANTILE * count))]
    middle = (count - 1) / 2
    spread = math.fsum((index - middle) ** 2 for index in range(count))
    slope = math.fsum((index - middle) * value for index, value in enumerate(values)) / spread if spread else 0.0
    return Confidence(mean, low, slope)
