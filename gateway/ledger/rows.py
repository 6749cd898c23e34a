"""Settled records as rows of the ledger's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.economics.breakeven import HOUR
from gateway.economics.sums import COUNTS, MONEY
from gateway.record import Outcome, RequestRecord
from gateway.usage import Usage
from router.policy import Reason

KEYS = ("hour", "upstream", "pinned", "endpoint", "route", "reason", "key")
_REQUEST = (
    "id", "request_id", "at", "endpoint", "stream", "pinned", "score", "threshold", "novelty", "artifact",
    "outcome", "status", "baseline", "baseline_output", "router_seconds", "overhead_seconds", "seconds",
)  # fmt: skip

# Where an outcome comes from.
SHADOW, FEEDBACK = "shadow", "feedback"

Row = dict[str, Any]


def request_rows(records: Sequence[RequestRecord]) -> list[Row]:
    """One row a request."""
    return [
        {
            **{name: getattr(record, name) for name in _REQUEST},
            "route": record.route or "none",
            "reason": record.reason or "none",
            "key": record.key or "",
        }
        for record in records
    ]


def attempt_rows(records: Sequence[RequestRecord]) -> list[Row]:
    """One row an attempt."""
    rows = []
    for record in records:
        for number, attempt in enumerate(record.attempts, 1):
            rows.append(
                {
                    "request": record.id,
                    "number": number,
                    "last": counts(record, number),
                    "upstream": attempt.upstream,
                    "outcome": attempt.outcome,
                    "status": attempt.status,
                    "prompt_tokens": attempt.usage.prompt,
                    "cached_tokens": _cached(attempt.usage),
                    "output_tokens": attempt.usage.output,
                    "usage_complete": attempt.usage.complete,
                    "cost_input": attempt.cost.input,
                    "cost_cached_input": attempt.cost.cached_input,
                    "cost_output": attempt.cost.output,
                    "first_event_seconds": attempt.first_event_seconds,
                    "seconds": attempt.seconds,
                }
            )
    return rows


def hourly_rows(records: Sequence[RequestRecord]) -> list[Row]:
    """The records' sums by KEYS; the request's own counts are on its last attempt."""
    sums: dict[tuple[object, ...], list[int]] = {}
    for record in records:
        hour = record.at // HOUR
        for number, attempt in enumerate(record.attempts, 1):
            last = counts(record, number)
            group = (
                hour, attempt.upstream, record.pinned, record.endpoint,
                record.route or "none", record.reason or "none", record.key or "",
            )  # fmt: skip
            values = (
                int(last),
                1,
                int(attempt.outcome is Outcome.OK and not attempt.usage.complete),
                attempt.usage.prompt - _cached(attempt.usage),
                _cached(attempt.usage),
                attempt.usage.output,
                attempt.cost.input,
                attempt.cost.cached_input,
                attempt.cost.output,
                record.baseline if last else 0,
                record.baseline_output if last else 0,
            )
            total = sums.setdefault(group, [0] * len(values))
            for index, value in enumerate(values):
                total[index] += value
    names = COUNTS + MONEY
    return [dict(zip(KEYS + names, (*group, *total), strict=True)) for group, total in sums.items()]


def outcome_rows(records: Sequence[RequestRecord]) -> list[Row]:
    """One row for each pair that shadow traffic compared."""
    return [{**msgspec.structs.asdict(record.pair), "source": SHADOW} for record in records if record.pair is not None]


def counts(record: RequestRecord, number: int) -> bool:
    """Whether this attempt carries its request's own counts: the last one does, and shadow traffic is no request."""
    return number == len(record.attempts) and record.reason is not Reason.SHADOW


def _cached(usage: Usage) -> int:
    # Clamped as in their cost, so that tokens and money agree.
    return min(usage.cached, usage.prompt)
