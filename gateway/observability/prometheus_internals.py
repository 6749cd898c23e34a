"""The only module that uses private attributes of prometheus_client; pyproject.toml bounds its version for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar


def add_observations(
    histogram: Histogram, total: float, counts: Sequence[int], exemplars: Mapping[int, Exemplar]
) -> None:
    """Add many observations to a histogram without labels, or to one child of a labelled one.

    `total` is the sum of the observed values, `counts` their number per bucket, not cumulative, the last bucket being
    +Inf. `exemplars` are by the index of the bucket; where workers share their numbers the library keeps none. Its own
    `observe` takes one value at a time, each with locks of its own.
    """
    histogram._sum.inc(total)
    for bucket, count in zip(histogram._buckets, counts, strict=True):
        if count:
            bucket.inc(count)
    for index, exemplar in exemplars.items():
        histogram._buckets[index].set_exemplar(exemplar)


def family_name(metric: MetricWrapperBase) -> str:
    """The name of the family that a Counter, Gauge or Histogram exports, without the suffix `_total`."""
    name: str = metric._name
    return name


def label_names(metric: MetricWrapperBase | Metric) -> list[str]:
    """The label names of a metric, or of a metric family; empty for a family that was collected from a metric."""
    return list(getattr(metric, "_labelnames", ()))
