"""The experiment with the next student as Prometheus metrics, read at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric, StateSetMetricFamily
from prometheus_client.registry import Collector

from breakeven.gateway.road.candidate import Experiment, Phase


class CandidateCollector(Collector):
    """The phase of the candidate, and how much better than the student its answers are; nothing without a candidate."""

    def __init__(self, experiment: Callable[[], Experiment]) -> None:
        """`experiment`: the one that this process follows."""
        self._experiment = experiment

    def collect(self) -> Iterable[Metric]:
        found = self._experiment()
        phase = StateSetMetricFamily(
            "breakeven_candidate_phase",
            "1 for the phase of the candidate: comparing, better (it waits for `breakeven candidate promote`), "
            "promoted or dropped; absent without one.",
        )
        if found.candidate:
            phase.add_metric([], {str(one): one is found.phase for one in Phase})
        families: list[Metric] = [phase]
        for suffix, what, value in (
            (
                "",
                "Candidate less student, in scores of compared answers; absent before there are any.",
                found.difference,
            ),
            ("_lower", "Lower end of its interval, which holds at all moments together.", found.low),
            ("_upper", "Upper end of its interval, which holds at all moments together.", found.high),
        ):
            difference = GaugeMetricFamily(f"breakeven_candidate_difference{suffix}", what)
            if found.candidate and value is not None:
                difference.add_metric([], value)
            families.append(difference)
        return families
