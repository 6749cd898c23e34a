"""What the student's machines cost: hours of a schedule, and observed replicas where there are any. Pure.

Integer arithmetic: a cost is kept in picodollars times microseconds and divided by an hour once, at the end.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from breakeven.gateway.economics.periods import DAY, HOUR

# A price at full load takes the idle share of the whole period for measured only above this share of observed time.
ENOUGH_OBSERVED = 0.95
_RECENT = 28 * DAY


class Rate(NamedTuple):
    """The hosting cost in picodollars an hour, in force from `since` (microseconds since the Unix epoch).

    `per_hour` is for all replicas of the schedule, `per_replica` for one; None in ledgers of before it was stored.
    """

    since: int
    per_hour: int
    per_replica: int | None = None


class Observation(NamedTuple):
    """What was observed within one hour. Times are microseconds since the Unix epoch.

    `time` microseconds of [since, until) were observed; the rest is a gap. `replicas` are replica-microseconds; `busy`
    of the `busy_measured` ones were spent on requests; `active` of the `active_measured` ones were in intervals in
    which any token was processed. `last` replicas were seen last. The next observation is expected before `due`.
    """

    since: int
    until: int
    due: int
    time: int
    replicas: int
    busy_measured: int
    busy: int
    active_measured: int
    active: int
    last: float


class Observed(NamedTuple):
    """What was observed over a period, in microseconds and replica-microseconds as in Observation.

    `hosted` is the part of the period in which hosting is paid for. `last` replicas are running now, None where nobody
    observes them now.
    """

    hosted: int
    time: int
    replicas: int
    busy_measured: int
    busy: int
    active_measured: int
    active: int
    last: float | None

    @property
    def share(self) -> float | None:
        """The share of the hosted time that was observed; None where nothing was."""
        return min(1.0, self.time / self.hosted) if self.time and self.hosted else None

    @property
    def mean_replicas(self) -> float | None:
        """Replicas on average over the observed time; None where nothing was observed."""
        return self.replicas / self.time if self.time else None

    @property
    def idle_share(self) -> float | None:
        """The share of the replicas' time in which they had no request; None where that was not measured."""
        return 1 - self.busy / self.busy_measured if self.busy_measured else None

    @property
    def share_without_tokens(self) -> float | None:
        """The share of the replicas' time in intervals in which they processed no token: certainly idle. None where
        that was not measured.
        """
        return 1 - self.active / self.active_measured if self.active_measured else None

    def at_full_load(self, per_million: Fraction | None) -> Fraction | None:
        """`per_million`, an effective price of this period, if the replicas had been as busy all the time as they were
        while they had requests; None where it was not measured over nearly all of the period.
        """
        share = self.share
        if per_million is None or share is None or share < ENOUGH_OBSERVED:
            return None
        measured_all = self.busy_measured >= ENOUGH_OBSERVED * self.replicas
        return per_million * Fraction(self.busy, self.busy_measured) if self.busy and measured_all else None


NOTHING_OBSERVED = Observed(0, 0, 0, 0, 0, 0, 0, None)


class _Segment(NamedTuple):
    """Costs `amount * (t - start) // length` by `t`, and `before` by its start; picodollars times microseconds."""

    start: int
    before: int
    amount: int
    length: int


class Hosting:
    """The hosting cost of any period. Observed time costs the replicas that were seen at the price of one, all other
    time costs what the schedule says.

    The time after the last observation costs nothing until the next one is due: then that time is observed, or it is
    not and costs what the schedule says. So the cost so far never goes down.
    """

    def __init__(self, rates: Sequence[Rate], observations: Sequence[Observation] = (), now: int | None = None) -> None:
        """`rates` and `observations` are in order of time, the latter do not overlap. `now`, microseconds since the
        epoch: the moment of the cost so far; None: all observations are complete.
        """
        self.rates = rates
        self._observations = [one for one in observations if one.until > one.since]
        last = self._observations[-1] if self._observations else None
        self._pending = last if last is not None and now is not None and last.until <= now < last.due else None
        self._segments: list[_Segment] = []
        total = 0
        for start, end, amount, length in self._pieces():
            self._segments.append(_Segment(start, total, amount, length))
            total += 0 if end is None else amount * (end - start) // length
        self._starts = [one.start for one in self._segments]

    @property
    def since(self) -> int | None:
        """When hosting begins, microseconds since the epoch; None without any rate."""
        return self.rates[0].since if self.rates else None

    def cost(self, since: int, until: int) -> int:
        """Picodollars over [since, until), in microseconds; 0 where `until` is not later than `since`."""
        return (self._by(until) - self._by(since)) // HOUR if until > since else 0

    def observed(self, since: int, until: int) -> Observed:
        """What was observed over [since, until), microseconds; within an hour observations count as evenly spread."""
        begin = until if self.since is None else max(since, self.since)
        end = until if self._pending is None else min(until, max(begin, self._pending.until))
        sums = [0] * 6
        for one in self._observations:
            start, stop = max(one.since, begin), min(one.until, end)
            if stop > start and self._priced(one):
                whole = one.until - one.since
                for index, value in enumerate(one[3:9]):
                    sums[index] += value * (stop - start) // whole
        last = self._pending.last if self._pending is not None and until >= self._pending.until else None
        time, replicas, busy_measured, busy, active_measured, active = sums
        hosted = max(0, end - begin)
        return Observed(hosted, time, replicas, busy_measured, busy, active_measured, active, last)

    def per_hour(self, now: int) -> Fraction:
        """Picodollars an hour at present: the mean of the replicas observed in the last 28 days at the price of one
        that is in force, or the schedule's rate where none were observed.
        """
        rate = self._rate_at(now)
        if rate is None:
            return Fraction(0)
        seen = self.observed(now - _RECENT, now)
        if rate.per_replica is None or not seen.time:
            return Fraction(rate.per_hour)
        return Fraction(rate.per_replica * seen.replicas, seen.time)

    def _by(self, moment: int) -> int:
        index = bisect.bisect_right(self._starts, moment) - 1
        if index < 0:
            return 0
        one = self._segments[index]
        return one.before + one.amount * (moment - one.start) // one.length

    def _pieces(self) -> Iterator[tuple[int, int | None, int, int]]:
        """Start, end, and `amount` and `length` as in _Segment, of all time from the first rate on, in order."""
        observations = self._observations
        index = 0
        for number, rate in enumerate(self.rates):
            at = rate.since
            end = self.rates[number + 1].since if number + 1 < len(self.rates) else None
            while index < len(observations) and (end is None or observations[index].since < end):
                one = observations[index]
                start, stop = max(one.since, at), one.until if end is None else min(one.until, end)
                if stop > start and rate.per_replica is not None:
                    if start > at:
                        yield at, start, rate.per_hour, 1
                    length = one.until - one.since
                    yield start, stop, rate.per_replica * one.replicas + rate.per_hour * (length - one.time), length
                    at = stop
                if end is not None and one.until > end:
                    break  # the next rate takes the rest of it
                index += 1
            pending = self._pending
            if pending is not None and (end is None or pending.until < end) and pending.due > at:
                start, stop = max(pending.until, at), pending.due if end is None else min(pending.due, end)
                if start > at:
                    yield at, start, rate.per_hour, 1
                yield start, stop, 0, 1
                at = stop
            if end is None or end > at:
                yield at, end, rate.per_hour, 1

    def _priced(self, one: Observation) -> bool:
        """Whether the price of one replica is known for this observation."""
        rate = self._rate_at(one.until - 1)
        return rate is not None and rate.per_replica is not None

    def _rate_at(self, moment: int) -> Rate | None:
        index = bisect.bisect_right(self.rates, moment, key=lambda rate: rate.since) - 1
        return self.rates[index] if index >= 0 else None
