"""The stages of workloads as Prometheus metrics, read at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.registry import Collector

from breakeven.gateway.road.stages import Stage


class Routing(NamedTuple):
    """The `stage` of a workload, the `threshold` of the scores that decides its requests, None where the teacher
    answers all of them, and the `margin` of the quality over the floor, None where that is not measured.
    """

    stage: Stage
    threshold: float | None = None
    margin: float | None = None


class RoadCollector(Collector):
    """The stage of each workload, the threshold in force, and how far the quality since then is above the floor."""

    def __init__(self, workloads: Callable[[], Mapping[str, Routing]]) -> None:
        """`workloads`: all of them by name; none without a student."""
        self._workloads = workloads

    def collect(self) -> Iterable[Metric]:
        stage = StateSetMetricFamily(
            "breakeven_stage",
            "1 for the stage of the workload: observe, propose, route or watch.",
            labels=["workload"],
        )
        threshold = GaugeMetricFamily(
            "breakeven_threshold",
            "Requests of the workload with a score at or above it go to the teacher; absent while all of them do.",
            labels=["workload"],
        )
        margin = GaugeMetricFamily(
            "breakeven_floor_margin",
            "Quality kept since what is in force went live, as a share of the teacher's, less the floor; absent until "
            "30 comparisons.",
            labels=["workload"],
        )
        for workload, now in self._workloads().items():
            stage.add_metric([workload], {str(one): one is now.stage for one in Stage})
            if now.threshold is not None:
                threshold.add_metric([workload], now.threshold)
            if now.margin is not None:
                margin.add_metric([workload], now.margin)
        return (stage, threshold, margin)
