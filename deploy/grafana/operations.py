"""The dashboard "Operations": latency, errors, circuit breakers, the ledger and vLLM."""

from __future__ import annotations

from expressions import happened
from grafana_foundation_sdk.builders import dashboard
from panels import BLUE, GREEN, JOB, ORANGE, RED, figure, lines, row, start, states


def quantile(q: float, metric: str, by: str = "") -> str:
    """A PromQL expression: quantile `q` of a histogram of the gateway; `by` is a label to keep."""
    labels = ", ".join(filter(None, ("le", by)))
    # The comparison leaves out times without requests, for which a quantile is not a number.
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{JOB}[$__rate_interval]))) >= 0"


def vllm(metric: str) -> str:
    """A PromQL expression: the 95th percentile of a histogram of vLLM."""
    return f"histogram_quantile(0.95, sum by (le) (rate({metric}_bucket[$__rate_interval]))) >= 0"


def build() -> dashboard.Dashboard:
    """The builder of the dashboard."""
    failures = f"sum by (upstream, cause) (rate(breakeven_upstream_failures_total{JOB}[$__rate_interval]))"
    failed = 'outcome=~"upstream_error|gateway_error|truncated"'
    return (
        start(
            "breakeven-operations",
            "Breakeven: Operations",
            "Latency, errors, circuit breakers, the ledger and the student's vLLM server.",
            since="now-6h",
        )
        .with_row(row("Now"))
        .with_panel(
            figure(
                "Requests per minute",
                "Requests settled in the last five minutes.",
                f"60 * sum(rate(breakeven_requests_total{JOB}[5m]))",
                "reqpm",
                decimals=1,
            )
        )
        .with_panel(
            figure(
                "Failed",
                "Share of requests in the last five minutes that failed at an upstream or in the gateway, or were truncated.",
                f'(sum(rate(breakeven_requests_total{{job=~"$job", {failed}}}[5m])) or vector(0)) / (sum(rate(breakeven_requests_total{JOB}[5m])) > 0)',
                "percentunit",
                steps=[(None, "green"), (0.01, ORANGE), (0.05, RED)],
                decimals=2,
                none="no requests",
            )
        )
        .with_panel(figure("In flight", "Attempts in progress.", f"sum(breakeven_in_flight{JOB})", "short"))
        .with_panel(
            figure(
                "Overhead, p95",
                "Time spent in the gateway before the first attempt is sent.",
                f"histogram_quantile(0.95, sum by (le) (rate(breakeven_overhead_seconds_bucket{JOB}[5m]))) >= 0",
                "s",
                none="no requests",
            )
        )
        .with_panel(
            figure(
                "Ledger backlog",
                "Settled requests that are not in the database yet.",
                f"sum(breakeven_ledger_pending{JOB})",
                "short",
                steps=[(None, "green"), (1000, ORANGE)],
            )
        )
        .with_panel(
            figure(
                "Config",
                "Whether the config that was read last is in force, or was rejected, so that the one before it still is.",
                f"min(breakeven_config_last_reload_successful{JOB})",
                "short",
                words=[("rejected", RED), ("in force", GREEN)],
            )
        )
        .with_row(row("Latency"))
        .with_panel(
            lines(
                "Request duration, by route",
                "From the first byte of the request to the last byte of the response.",
                [
                    (quantile(0.5, "breakeven_request_seconds", "route"), "{{route}} p50"),
                    (quantile(0.95, "breakeven_request_seconds", "route"), "{{route}} p95"),
                ],
                "s",
                low=0,
                bridged=True,
                exemplars=True,
            )
        )
        .with_panel(
            lines(
                "Time to first event, by upstream",
                "From the start of an attempt to its first event or body byte.",
                [
                    (quantile(0.5, "breakeven_first_event_seconds", "upstream"), "{{upstream}} p50"),
                    (quantile(0.95, "breakeven_first_event_seconds", "upstream"), "{{upstream}} p95"),
                ],
                "s",
                low=0,
                bridged=True,
                exemplars=True,
            )
        )
        .with_panel(
            lines(
                "Gateway overhead",
                "Time spent in the gateway before the first attempt is sent, including the routing decision.",
                [
                    (quantile(0.5, "breakeven_overhead_seconds"), "overhead p50"),
                    (quantile(0.99, "breakeven_overhead_seconds"), "overhead p99"),
                    (quantile(0.5, "breakeven_router_seconds"), "decision p50"),
                    (quantile(0.99, "breakeven_router_seconds"), "decision p99"),
                ],
                "s",
                low=0,
                bridged=True,
                exemplars=True,
            )
        )
        .with_panel(
            lines(
                "In flight, by upstream",
                "Attempts in progress at each upstream.",
                [(f"sum by (upstream) (breakeven_in_flight{JOB})", "{{upstream}}")],
                "short",
                colors={"student": BLUE, "teacher": ORANGE},
                low=0,
                soft=4,
            )
        )
        .with_row(row("Errors"))
        .with_panel(
            lines(
                "Requests, by outcome",
                "Rejected requests are invalid or not allowed: errors of the client.",
                [(f"60 * sum by (outcome) (rate(breakeven_requests_total{JOB}[$__rate_interval]))", "{{outcome}}")],
                "reqpm",
                stack="normal",
                low=0,
            )
        )
        .with_panel(
            lines(
                "Attempts, by upstream and outcome",
                "Calls to an upstream; a request has one or more.",
                [
                    (
                        f"60 * sum by (upstream, outcome) (rate(breakeven_attempts_total{JOB}[$__rate_interval]))",
                        "{{upstream}} {{outcome}}",
                    )
                ],
                "reqpm",
                stack="normal",
                low=0,
            )
        )
        .with_panel(
            states(
                "Circuit breakers",
                "Open: the upstream receives no requests after repeated failures.",
                f"max by (upstream) (breakeven_circuit_open{JOB})",
                "{{upstream}}",
                [("closed", GREEN), ("open", RED)],
                width=8,
            )
        )
        .with_panel(
            lines(
                "Upstream failures per minute, by cause",
                "Calls to an upstream that failed; docs/how-to/upstream-failures.md says what to do about each cause.",
                [
                    (
                        happened(f"60 * {failures}", "breakeven_upstream_failures_total", "upstream, cause"),
                        "{{upstream}}: {{cause}}",
                    )
                ],
                "short",
                stack="normal",
                low=0,
                width=8,
                height=6,
                none="no call has failed",
            )
        )
        .with_panel(
            lines(
                "Missing usage and failed writes per hour",
                "Attempts without complete token counts, streams that were cut off among them, and failed writes to the ledger, which should be zero.",
                [
                    (
                        f"sum by (upstream) (increase(breakeven_usage_missing_total{JOB}[1h]))",
                        "usage missing: {{upstream}}",
                    ),
                    (f"sum(increase(breakeven_ledger_write_failures_total{JOB}[1h]))", "failed writes"),
                ],
                "short",
                width=8,
                height=6,
                low=0,
                soft=1,
            )
        )
        .with_row(_vllm())
    )


def _vllm() -> dashboard.Row:
    none = "Prometheus scrapes no vLLM"
    return (
        row("The student's vLLM, where Prometheus scrapes it")
        .with_panel(
            lines(
                "Requests in vLLM",
                "Requests running, and waiting for room in the batch or the KV cache.",
                [("sum(vllm:num_requests_running)", "running"), ("sum(vllm:num_requests_waiting)", "waiting")],
                "short",
                colors={"running": BLUE, "waiting": RED},
                low=0,
                none=none,
            )
        )
        .with_panel(
            lines(
                "Cache",
                "Share of the KV cache in use, and share of prompt tokens found in the prefix cache.",
                [
                    ("max(vllm:kv_cache_usage_perc)", "KV cache in use"),
                    (
                        "sum(rate(vllm:prefix_cache_hits_total[$__rate_interval])) / (sum(rate(vllm:prefix_cache_queries_total[$__rate_interval])) > 0)",
                        "prefix cache hits",
                    ),
                ],
                "percentunit",
                low=0,
                none=none,
                soft=1,
            )
        )
        .with_panel(
            lines(
                "Tokens per second in vLLM",
                "Prompt tokens processed and tokens generated.",
                [
                    ("sum(rate(vllm:prompt_tokens_total[$__rate_interval]))", "prompt"),
                    ("sum(rate(vllm:generation_tokens_total[$__rate_interval]))", "generated"),
                ],
                "short",
                low=0,
                none=none,
            )
        )
        .with_panel(
            lines(
                "Latency in vLLM, p95",
                "Time to the first token, between tokens, and in the queue.",
                [
                    (vllm("vllm:time_to_first_token_seconds"), "first token"),
                    (vllm("vllm:inter_token_latency_seconds"), "between tokens"),
                    (vllm("vllm:request_queue_time_seconds"), "in the queue"),
                ],
                "s",
                low=0,
                none=none,
            )
        )
    )
