"""What watches a promise while it holds: is the floor still kept, and is the traffic still like what was measured?

Both are e-detectors (Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change
detection", The New England Journal of Statistics in Data Science 2, 2024): the capital of a gambler who bets, request
by request, that things are worse than they should be, and who starts anew whenever he has lost. While nothing is wrong,
an alarm comes on average at most once in `PATIENCE` observations, whenever one looks and however long it runs.
"""

from __future__ import annotations

from collections.abc import Sequence

# Observations between false alarms, on average, at least.
PATIENCE = 20_000
# The bets, as shares of the largest one, with which all capital could be lost.
_BETS = (0.05, 0.15, 0.4, 0.8)
# The share of novel requests that is not worth an alarm, and novelty from which a request counts as novel.
NOVEL = 0.95
_TOLERATED = 0.15


class Alarm:
    """Several gamblers against "the mean of these values is at most 0", each with a bet of its own, who start anew
    whenever their capital falls below 1. What counts is the mean of their capitals.
    """

    def __init__(self, capitals: Sequence[float] = (), patience: float = PATIENCE) -> None:
        """`capitals`: those that another one had, which this one goes on with; none for a new one."""
        self._patience = patience
        self._capitals = list(capitals) or [1.0] * len(_BETS)
        self.raised = False

    @property
    def capitals(self) -> tuple[float, ...]:
        """What another one can go on with."""
        return tuple(self._capitals)

    def observe(self, value: float, bound: float) -> None:
        """Take one value, which is at least `-bound`; the bound must be known before the value."""
        for index, share in enumerate(_BETS):
            self._capitals[index] = max(1.0, self._capitals[index]) * (1.0 + share * value / bound)
        self.raised = self.raised or sum(self._capitals) >= self._patience * len(_BETS)


class FloorWatch:
    """Watches the floor of a setting in force, from comparisons of requests of either route."""

    def __init__(self, floor: float) -> None:
        self._floor = floor
        self._alarm = Alarm()

    def observe(self, student: float, teacher: float, *, by_student: bool, weight: float, largest: float) -> None:
        """Take one comparison of answers with these scores in [0, 1].

        `by_student`: whether the setting hands the request to the student. `weight`: one over the probability with
        which the request was compared, and `largest` the largest weight that the sampling now in use gives.
        """
        lost = self._floor * teacher - (student if by_student else teacher)
        self._alarm.observe(weight * lost, largest)

    @property
    def broken(self) -> bool:
        """Whether the floor is no longer kept."""
        return self._alarm.raised


class TrafficWatch:
    """Watches whether requests are like those that a promise was measured on, from their novelty among these."""

    def __init__(self, capitals: Sequence[float] = ()) -> None:
        """`capitals`: of the watch that this one goes on with."""
        self._alarm = Alarm(capitals)

    @property
    def capitals(self) -> tuple[float, ...]:
        """What a watch after a restart goes on with."""
        return self._alarm.capitals

    def observe(self, novelty: float) -> None:
        """Take the novelty of one request, in [0, 1): a quantile among what was measured."""
        self._alarm.observe((novelty >= NOVEL) - _TOLERATED, _TOLERATED)

    @property
    def changed(self) -> bool:
        """Whether many more requests are novel than should be."""
        return self._alarm.raised
