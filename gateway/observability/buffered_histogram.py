"""A histogram whose observations are plain numbers until a scrape needs them."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client import Histogram
from prometheus_client.samples import Exemplar

from breakeven.gateway.observability.prometheus_internals import add_observations


class BufferedHistogram:
    """Buffers the observations of a histogram until `flush`: a tenth of the cost of the library's `observe`."""

    def __init__(self, histogram: Histogram, bounds: Sequence[float]) -> None:
        """`bounds`: the upper ones of its buckets, without the infinite one."""
        self._histogram = histogram
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._any = False
        self._exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value
        self._any = True

    def exemplify(self, value: float, labels: dict[str, str]) -> None:
        """Give an observed value as the example of its bucket."""
        self._exemplars[bisect_left(self._bounds, value)] = Exemplar(labels, value, time.time())

    def flush(self) -> None:
        """Add what was counted since the last flush to the histogram."""
        if not self._any:
            return
        self._any = False
        add_observations(self._histogram, self._sum, self._counts, self._exemplars)
        self._exemplars.clear()
        self._counts = [0] * len(self._counts)
        self._sum = 0.0
