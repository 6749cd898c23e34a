"""Calibration: from the classifier's output to a probability."""

from __future__ import annotations

import math
from typing import NamedTuple

# Log-odds beyond these are as good as certain.
_CERTAIN = 30.0


class Calibration(NamedTuple):
    """Logistic calibration (Platt, 1999) with a saturating second term. With u = (gain - middle) / spread:

    probability = 1 / (1 + exp(-(slope * u + bend * u / (1 + |u|) + intercept)))

    On traffic that is mostly easy, the gains have a long tail towards difficult prompts, for which a straight line is
    overconfident. Neither `slope` nor `slope + bend` is negative, so that the probability never decreases with the
    gain.
    """

    slope: float
    bend: float
    intercept: float
    middle: float
    spread: float

    def __call__(self, gain: float) -> float:
        """The calibrated probability, in [0, 1), of a gain as `heads.gain` returns it: below 1, so that with a
        threshold of 1 the student answers everything.
        """
        u = (gain - self.middle) / self.spread
        z = self.slope * u + self.bend * (u / (1.0 + abs(u))) + self.intercept
        return 1.0 / (1.0 + math.exp(-min(z, _CERTAIN))) if z > -700.0 else 0.0

    def derivative(self, gain: float) -> float:
        """The derivative of the probability's log-odds with respect to the gain; not negative."""
        u = (gain - self.middle) / self.spread
        return (self.slope + self.bend / (1.0 + abs(u)) ** 2) / self.spread
