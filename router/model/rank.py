"""Scores that only order: the share of reference prompts that are easier."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise

# How many quantiles of the reference prompts' difficulty are stored.
QUANTILES = 1001
# Beyond the reference prompts the rank approaches 0 and 1: this part of their range halves the distance, and more.
_TAIL = 0.1


class Rank:
    """From the classifier's output to a rank among reference prompts; in the place of a `Calibration` where there are
    no outcomes to calibrate on.
    """

    def __init__(self, gains: list[float]) -> None:
        """`gains`: quantiles of the reference prompts' outputs, ascending.

        Raises ValueError where they are not ascending or all the same.
        """
        if any(not one <= other for one, other in pairwise(gains)) or not gains[0] < gains[-1]:
            raise ValueError("the ranks are not ascending")
        self._gains = gains
        self._tail = _TAIL * (gains[-1] - gains[0])

    def __call__(self, gain: float) -> float:
        """The rank of a gain, in (0, 1): linear between two quantiles, and never the same for two different gains."""
        gains, most = self._gains, len(self._gains)
        at = bisect_right(gains, gain)
        if at == 0:
            return math.exp(max(-700.0, (gain - gains[0]) / self._tail)) / (most + 1)
        if at == most:
            return 1.0 - math.exp(max(-20.0, (gains[-1] - gain) / self._tail)) / (most + 1)
        low, high = gains[at - 1], gains[at]
        return (at + (gain - low) / (high - low)) / (most + 1)
