"""The stages of workloads as Prometheus metrics, read at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.registry import Collector

from breakeven.gateway.road.stages import Stage


class RoadCollector(Collector):
    """The stage of each workload, and how far the quality since it went live is above the floor."""

    def __init__(self, stages: Callable[[], Mapping[str, tuple[Stage, float | None]]]) -> None:
        """`stages`: by workload the stage, and the margin over the floor, None where that is not measured."""
        self._stages = stages

    def collect(self) -> Iterable[Metric]:
        stage = StateSetMetricFamily(
            "breakeven_stage",
            "1 for the stage of the workload: observe, propose, route or watch.",
            labels=["workload"],
        )
        margin = GaugeMetricFamily(
            "breakeven_floor_margin",
            "Quality kept since what is in force went live, as a share of the teacher's, less the floor; absent until "
            "30 comparisons.",
            labels=["workload"],
        )
        for workload, (now, above) in self._stages().items():
            stage.add_metric([workload], {str(one): one is now for one in Stage})
            if above is not None:
                margin.add_metric([workload], above)
        return (stage, margin)
