"""Annotations of all dashboards: what changed and when, from the metrics."""

from __future__ import annotations

from panels import BLUE, GREEN, JOB, ORANGE, RED, SOURCE


def begun(metric: str, labels: str, value: int = 1) -> str:
    """A PromQL expression with a sample only where the metric's value became `value` within the step."""
    now = f"max by ({labels}) ({metric}{JOB}) == {value}"
    before = f"max by ({labels}) ({metric}{JOB} offset $__interval) == {1 - value}"
    return f"{now} and {before}"


def annotations() -> list[dict[str, object]]:
    """The annotations as a dashboard's JSON has them."""
    return [
        _annotation(
            "Stages", BLUE, begun("breakeven_stage", "workload, breakeven_stage"), "{{workload}}: {{breakeven_stage}}"
        ),
        _annotation("Thresholds", GREEN, _changed(), "threshold of {{workload}}"),
        _annotation(
            "Candidate", "purple", begun("breakeven_candidate_phase", "breakeven_candidate_phase"),
            "candidate: {{breakeven_candidate_phase}}",
        ),
        _annotation(
            "Config reloads", ORANGE, f"1000 * max(breakeven_config_last_reload_success_timestamp_seconds{JOB})",
            "config reloaded", of_value=True,
        ),
        _annotation(
            "Rejected configs", RED, begun("breakeven_config_last_reload_successful", "job", 0), "config rejected"
        ),
    ]  # fmt: skip


def _changed() -> str:
    """Threshold in force that became another one; where it appears, a stage begins."""
    metric = f"max by (workload) (breakeven_threshold{JOB}"
    return f"{metric}) != {metric} offset $__interval)"


def _annotation(name: str, color: str, expression: str, title: str, *, of_value: bool = False) -> dict[str, object]:
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
