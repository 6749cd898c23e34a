"""The dashboard "Operations": latency, errors, circuits, the ledger, and vLLM itself."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from panels import BLUE, JOB, ORANGE, RED, figure, lines, row, start, states


def quantile(q: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram of ours; `by` is one more label to keep."""
    labels = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{JOB}[$__rate_interval])))"


def vllm(metric: str) -> str:
    """The same of vLLM's."""
    return f"histogram_quantile(0.95, sum by (le) (rate({metric}_bucket[$__rate_interval])))"


def build() -> dashboard.Dashboard:
    """The dashboard."""
    failed = 'outcome=~"upstream_error|gateway_error|truncated"'
    return (
        start(
            "breakeven-operations",
            "Breakeven: Operations",
            "Whether it works: latency, errors, circuits, the ledger and the student's server.",
        )
        .with_row(row("Now"))
        .with_panel(
            figure(
                "Requests a second",
                "Settled within the last five minutes.",
                f"sum(rate(breakeven_requests_total{JOB}[5m]))",
                "reqps",
            )
        )
        .with_panel(
            figure(
                "Failed",
                "Share of requests that failed at an upstream or here, or were cut off, in five minutes.",
                f'(sum(rate(breakeven_requests_total{{job=~"$job", {failed}}}[5m])) or vector(0)) / (sum(rate(breakeven_requests_total{JOB}[5m])) > 0)',
                "percentunit",
                steps=[(None, "green"), (0.01, ORANGE), (0.05, RED)],
                decimals=2,
            )
        )
        .with_panel(figure("In flight", "Attempts that run now.", f"sum(breakeven_in_flight{JOB})", "short"))
        .with_panel(
            figure(
                "Gateway's own time, p95",
                "What the gateway takes before the first attempt is sent.",
                f"histogram_quantile(0.95, sum by (le) (rate(breakeven_overhead_seconds_bucket{JOB}[5m])))",
                "s",
            )
        )
        .with_panel(
            figure(
                "Ledger behind",
                "Settled requests that are not in the database yet.",
                f"sum(breakeven_ledger_pending{JOB})",
                "short",
                steps=[(None, "green"), (1000, ORANGE)],
            )
        )
        .with_panel(
            figure(
                "Config",
                "1: the config that was read last is in force.",
                f"min(breakeven_config_last_reload_successful{JOB})",
                "short",
                steps=[(None, RED), (1, "green")],
            )
        )
        .with_row(row("Latency"))
        .with_panel(
            lines(
                "Whole request, by route",
                "From the first byte of the request to the last of the answer.",
                [
                    (quantile(0.5, "breakeven_request_seconds", "route"), "{{route}} p50"),
                    (quantile(0.95, "breakeven_request_seconds", "route"), "{{route}} p95"),
                ],
                "s",
                low=0,
            )
        )
        .with_panel(
            lines(
                "First event, by upstream",
                "From an attempt's start to the first event or body byte.",
                [
                    (quantile(0.5, "breakeven_first_event_seconds", "upstream"), "{{upstream}} p50"),
                    (quantile(0.95, "breakeven_first_event_seconds", "upstream"), "{{upstream}} p95"),
                ],
                "s",
                low=0,
            )
        )
        .with_panel(
            lines(
                "Gateway's own time",
                "Before the first attempt is sent; the routing decision is part of it.",
                [
                    (quantile(0.5, "breakeven_overhead_seconds"), "overhead p50"),
                    (quantile(0.99, "breakeven_overhead_seconds"), "overhead p99"),
                    (quantile(0.5, "breakeven_router_seconds"), "decision p50"),
                    (quantile(0.99, "breakeven_router_seconds"), "decision p99"),
                ],
                "s",
                low=0,
            )
        )
        .with_panel(
            lines(
                "In flight, by upstream",
                "Attempts that run.",
                [(f"sum by (upstream) (breakeven_in_flight{JOB})", "{{upstream}}")],
                "short",
                colors={"student": BLUE, "teacher": ORANGE},
                low=0,
            )
        )
        .with_row(row("Errors"))
        .with_panel(
            lines(
                "Requests, by outcome",
                "Rejected ones are the client's own fault.",
                [(f"sum by (outcome) (rate(breakeven_requests_total{JOB}[$__rate_interval]))", "{{outcome}}")],
                "reqps",
                stack="normal",
                low=0,
            )
        )
        .with_panel(
            lines(
                "Attempts, by upstream and outcome",
                "A request has one or more attempts.",
                [
                    (
                        f"sum by (upstream, outcome) (rate(breakeven_attempts_total{JOB}[$__rate_interval]))",
                        "{{upstream}} {{outcome}}",
                    )
                ],
                "reqps",
                stack="normal",
                low=0,
            )
        )
        .with_panel(
            states(
                "Circuits",
                "Open: the upstream is left alone after failures.",
                f"max by (upstream) (breakeven_circuit_open{JOB})",
                "{{upstream}}",
            )
        )
        .with_panel(
            lines(
                "Missing usage and refused writes, an hour",
                "Answers without token counts, and writes that the ledger refused. Both should be zero.",
                [
                    (
                        f"sum by (upstream) (increase(breakeven_usage_missing_total{JOB}[1h]))",
                        "usage missing: {{upstream}}",
                    ),
                    (f"sum(increase(breakeven_ledger_write_failures_total{JOB}[1h]))", "refused writes"),
                ],
                "short",
                height=6,
                low=0,
            )
        )
        .with_row(row("The student's vLLM"))
        .with_panel(
            lines(
                "Requests in vLLM",
                "Running, and waiting for room in the batch or the cache.",
                [("sum(vllm:num_requests_running)", "running"), ("sum(vllm:num_requests_waiting)", "waiting")],
                "short",
                colors={"running": BLUE, "waiting": RED},
                low=0,
            )
        )
        .with_panel(
            lines(
                "Cache",
                "Share of the KV cache in use, and of prompt tokens found in the prefix cache.",
                [
                    ("max(vllm:kv_cache_usage_perc)", "KV cache in use"),
                    (
                        "sum(rate(vllm:prefix_cache_hits_total[$__rate_interval])) / (sum(rate(vllm:prefix_cache_queries_total[$__rate_interval])) > 0)",
                        "prefix cache hits",
                    ),
                ],
                "percentunit",
                low=0,
                high=1,
            )
        )
        .with_panel(
            lines(
                "Tokens a second in vLLM",
                "Prompt tokens read and tokens generated.",
                [
                    ("sum(rate(vllm:prompt_tokens_total[$__rate_interval]))", "prompt"),
                    ("sum(rate(vllm:generation_tokens_total[$__rate_interval]))", "generated"),
                ],
                "short",
                low=0,
            )
        )
        .with_panel(
            lines(
                "Latency in vLLM, p95",
                "To the first token, between tokens, and in the queue.",
                [
                    (vllm("vllm:time_to_first_token_seconds"), "first token"),
                    (vllm("vllm:inter_token_latency_seconds"), "between tokens"),
                    (vllm("vllm:request_queue_time_seconds"), "in the queue"),
                ],
                "s",
                low=0,
            )
        )
    )
