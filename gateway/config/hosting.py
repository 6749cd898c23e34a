"""The section `student.hosting_observed`: where the number of running replicas is read."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from breakeven.gateway.config.types import Section, http_url


class HostingObserved(Section):
    vllm_metrics: list[str] = Field(
        [],
        description="URL of the `/metrics` of each vLLM replica; a host name with several addresses, such as a "
        "headless Kubernetes service, is one replica for each address. This or `prometheus_url`, never both.",
    )
    prometheus_url: str | None = Field(
        None, description="Base URL of a Prometheus that knows the number of replicas; needs `replicas_query`."
    )
    replicas_query: str | None = Field(
        None,
        description="PromQL that gives one number, the replicas that are paid for, such as "
        '`sum(kube_deployment_status_replicas_ready{deployment="student"})`.',
    )
    busy_query: str | None = Field(
        None,
        description="PromQL that gives one number, how many of them have requests, such as "
        "`count(vllm:num_requests_running > 0) or vector(0)`; null: the idle share is not measured.",
    )
    interval_seconds: Annotated[float, Field(ge=1.0, le=300.0, allow_inf_nan=False)] = Field(
        30.0, description="Time between two observations."
    )

    @field_validator("vllm_metrics")
    @classmethod
    def _metrics_urls(cls, value: list[str]) -> list[str]:
        for url in value:
            if not re.fullmatch(r"https?://[^\s/?#@]+/[^\s?#]+", url) or not _valid_port(url):
                raise ValueError(
                    "each must be the http:// or https:// URL of a replica's metrics, without user, query or fragment, "
                    "such as http://student:8000/metrics"
                )
        if len(set(value)) != len(value):
            raise ValueError("names the same URL twice, which would count a replica twice; remove one")
        return value

    @field_validator("prometheus_url")
    @classmethod
    def _prometheus_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = http_url(value)
        if not _valid_port(url):
            raise ValueError("must be an http:// or https:// URL without user, query or fragment")
        if url.endswith("/api/v1/query"):
            raise ValueError("must be the base URL, without /api/v1/query")
        return url

    @field_validator("replicas_query", "busy_query")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("is empty; give a PromQL expression that gives one number, or null")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> HostingObserved:
        if bool(self.vllm_metrics) == (self.prometheus_url is not None):
            fault = "both are given" if self.vllm_metrics else "neither is given"
            raise ValueError(f"give exactly one of vllm_metrics and prometheus_url; {fault}")
        if self.prometheus_url is not None and self.replicas_query is None:
            raise ValueError("prometheus_url needs replicas_query, a PromQL expression that gives one number")
        for name in ("replicas_query", "busy_query"):
            if self.prometheus_url is None and getattr(self, name) is not None:
                raise ValueError(f"{name} is for prometheus_url; remove it beside vllm_metrics")
        return self


def _valid_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
