"""Whether the student's answer so far is good enough: features of its token log-probabilities. Pure.

Length-normalised and quantile features, never the raw sum, which only measures length (Gupta et al.,
arXiv 2404.10136).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

LOW_QUANTILE = 0.2


class Confidence(NamedTuple):
    """How sure the student was of its tokens, natural logarithms.

    `mean`, the `low` quantile, and the `slope` a token of a least-squares line through the first ones.
    """

    mean: float
    low: float
    slope: float


def confidence(logprobs: Sequence[float]) -> Confidence | None:
    """Features of the log-probabilities of an answer's first tokens; None without any."""
    # A server may write -inf, or -9999, for what it had no room for: one token must not decide.
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
