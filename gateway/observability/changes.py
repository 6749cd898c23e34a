"""What routes, as a Prometheus metric of when it changed: dashboards mark the changes from it."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from breakeven.gateway.ledger.changes import LastChange

# The policy of an operator is that of all workloads. A label without a value would be none.
_ALL = "(all)"


def change_families(last: Iterable[LastChange]) -> tuple[Metric, ...]:
    """The metric of the `last` changes of each kind, from the ledger, so that all replicas export the same."""
    found = GaugeMetricFamily(
        "breakeven_change_timestamp_seconds",
        "When what routes changed last, by workload, by the stage that it became, the candidate's phase or policy, and "
        "by who did it: gateway, console, api or command line.",
        labels=["workload", "stage", "who"],
    )
    for one in last:
        found.add_metric([one.workload or _ALL, one.stage, one.who], one.at / 1e6)
    return (found,)
