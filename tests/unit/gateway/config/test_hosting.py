"""The section student.hosting_observed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from breakeven.gateway.config.load import load_config
from tests.unit.gateway.config.test_load import document, faults, write

URL = "http://student:8000/metrics"
QUERY = 'sum(kube_deployment_status_replicas_ready{deployment="student"})'


def with_section(section: Any) -> dict[str, Any]:
    value = document()
    value["student"]["hosting_observed"] = section
    return value


def test_it_is_off_by_default(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, document())).student.hosting_observed is None


def test_both_sources(tmp_path: Path) -> None:
    vllm = load_config(write(tmp_path, with_section({"vllm_metrics": [URL]}))).student.hosting_observed
    assert vllm is not None
    assert (vllm.vllm_metrics, vllm.interval_seconds, vllm.prometheus_url) == ([URL], 30.0, None)
    section = {"prometheus_url": "https://prometheus.example/base/", "replicas_query": QUERY, "busy_query": "vector(0)"}
    prometheus = load_config(write(tmp_path, with_section(section))).student.hosting_observed
    assert prometheus is not None
    assert (prometheus.prometheus_url, prometheus.vllm_metrics) == ("https://prometheus.example/base", [])


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, "hosting_observed: give exactly one of vllm_metrics and prometheus_url; neither is given"),
        (
            {"vllm_metrics": [URL], "prometheus_url": "http://p:9090", "replicas_query": QUERY},
            "hosting_observed: give exactly one of vllm_metrics and prometheus_url; both are given",
        ),
        ({"prometheus_url": "http://p:9090"}, "hosting_observed: prometheus_url needs replicas_query"),
        ({"vllm_metrics": [URL], "busy_query": "x"}, "hosting_observed: busy_query is for prometheus_url"),
        (
            {"vllm_metrics": ["http://student:8000"]},
            "hosting_observed.vllm_metrics: each must be the http:// or https://",
        ),
        ({"vllm_metrics": ["http://u:secret@student/metrics"]}, "hosting_observed.vllm_metrics: each must be"),
        ({"vllm_metrics": ["http://student:99999/metrics"]}, "hosting_observed.vllm_metrics: each must be"),
        ({"vllm_metrics": [URL, URL]}, "hosting_observed.vllm_metrics: names the same URL twice"),
        ({"prometheus_url": "prometheus:9090", "replicas_query": QUERY}, "prometheus_url: must be an http://"),
        (
            {"prometheus_url": "http://p:9090/api/v1/query", "replicas_query": QUERY},
            "prometheus_url: must be the base URL, without /api/v1/query",
        ),
        ({"prometheus_url": "http://p:9090", "replicas_query": " "}, "replicas_query: is empty"),
        ({"vllm_metrics": [URL], "interval_seconds": 0.5}, "interval_seconds: "),
        ({"vllm_metrics": [URL], "interval_seconds": 301}, "interval_seconds: "),
        ({"vllm_metrics": [URL], "interval": 5}, "hosting_observed.interval: unknown key"),
    ],
)
def test_a_wrong_section_is_rejected(section: dict[str, Any], said: str, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, with_section(section))
    assert fault.startswith("student.hosting_observed")
    assert said in fault
    assert "secret" not in fault
