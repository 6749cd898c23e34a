"""Annotations of all dashboards: what changed and when, from the metrics.

Grafana draws an annotation where a value is above 0, or at the time that a value is. Its steps are a hundredth of the
time range, so that only the latter are exact on a range of days.
"""

from __future__ import annotations

from panels import BLUE, JOB, ORANGE, RED, SOURCE, job

_REJECTED = f"max by (job) (breakeven_config_last_reload_successful{JOB}"


def annotations() -> list[dict[str, object]]:
    """The annotations as a dashboard's JSON has them."""
    return [
        _annotation("Operator changes", "purple", _changed('who!="gateway"'), "{{workload}}: {{stage}}, by {{who}}"),
        _annotation("Gateway changes", BLUE, _changed('who="gateway"'), "{{workload}}: {{stage}}"),
        _annotation(
            "Config reloads", ORANGE, f"1000 * max(breakeven_config_last_reload_success_timestamp_seconds{JOB})",
            "config reloaded",
        ),
        _annotation(
            "Rejected configs", RED, f"({_REJECTED}) == 0 and {_REJECTED} offset $__interval) == 1) + 1",
            "config rejected", of_value=False,
        ),
    ]  # fmt: skip


def _changed(author: str) -> str:
    """The times at which what routes changed, in milliseconds; all replicas of a ledger say the same."""
    return f"1000 * max by (workload, stage, who) (breakeven_change_timestamp_seconds{job(author)})"


def _annotation(name: str, color: str, expression: str, title: str, *, of_value: bool = True) -> dict[str, object]:
    return {
        "name": name,
        "datasource": {"type": SOURCE.type_val, "uid": SOURCE.uid},
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expression,
        "step": "60s",
        "titleFormat": title,
        "useValueForTime": of_value,
    }
