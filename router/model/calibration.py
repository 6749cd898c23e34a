"""From a margin to a probability."""

from __future__ import annotations

import math
from typing import NamedTuple


class Calibration(NamedTuple):
    """Platt's logistic calibration with a bend. With u = (margin - middle) / spread:

    probability = 1 / (1 + exp(-(slope * u + bend * u / (1 + |u|) + intercept)))

    Margins of traffic that is mostly easy have a long tail to the difficult side, where a straight line is too sure
    of itself. Neither `slope` nor `slope + bend` is negative: a larger margin is never a smaller probability.
    """

    slope: float
    bend: float
    intercept: float
    middle: float
    spread: float

    def __call__(self, margin: float) -> float:
        """In [0, 1]."""
        u = (margin - self.middle) / self.spread
        z = self.slope * u + self.bend * (u / (1.0 + abs(u))) + self.intercept
        return 1.0 / (1.0 + math.exp(-z)) if z > -700.0 else 0.0

    def steepness(self, margin: float) -> float:
        """By how much the log-odds of the probability rise for a small step of the margin. Not negative."""
        u = (margin - self.middle) / self.spread
        return (self.slope + self.bend / (1.0 + abs(u)) ** 2) / self.spread
