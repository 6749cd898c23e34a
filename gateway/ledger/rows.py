"""Converting settled records to rows of the ledger's tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from breakeven.gateway.accounting.record import CANDIDATE, DEFAULT_WORKLOAD, AttemptRecord, Pair, RequestRecord
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.economics.breakeven import answer_size
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.economics.totals import COUNTS, MONEY
from breakeven.gateway.economics.traffic import size_of
from breakeven.router.policy import Reason

KEYS = ("hour", "upstream", "pinned", "endpoint", "route", "reason", "key", "workload", "size", "provider")
# Sources of outcomes.
SHADOW, FEEDBACK = "shadow", "feedback"
# Comparisons of live traffic, of the student in force and of a candidate.
COMPARED = (SHADOW, CANDIDATE)

Row = dict[str, Any]
HourlySums = dict[tuple[object, ...], list[int]]


def request_rows(records: Sequence[RequestRecord]) -> list[Row]:
    """One row of the table `requests` per record, all with the same columns.

    The workload is left out where all have the default one: to bind a value costs time for each.
    """
    rows = _request_rows(records)
    if any(record.workload != DEFAULT_WORKLOAD for record in records):
        for row, record in zip(rows, records, strict=True):
            row["workload"] = record.workload
    return rows


def _request_rows(records: Sequence[RequestRecord]) -> list[Row]:
    return [
        {
            "id": record.id,
            "request_id": record.request_id,
            "at": record.at,
            "endpoint": str(record.endpoint),
            "stream": record.stream,
            "pinned": record.pinned,
            "score": record.score,
            "threshold": record.threshold,
            "novelty": record.novelty,
            "artifact": record.artifact,
            "outcome": str(record.outcome),
            "status": record.status,
            "baseline": record.baseline,
            "baseline_input": record.baseline_input,
            "baseline_output": record.baseline_output,
            "size": _size(record),
            "router_seconds": record.router_seconds,
            "overhead_seconds": record.overhead_seconds,
            "seconds": record.seconds,
            # As plain strings: enum members are slow to bind.
            "route": str(record.route or "none"),
            "reason": str(record.reason or "none"),
            "key": record.key or "",
        }
        for record in records
    ]


def attempt_rows(records: Sequence[RequestRecord]) -> list[Row]:
    """One row of the table `attempts` per attempt, all with the same columns.

    What few attempts have is left out where none of these has it: the table's defaults say the same, and to bind a
    value costs time for each.
    """
    pairs = [(record, number, attempt) for record in records for number, attempt in enumerate(record.attempts, 1)]
    rows = [_attempt_row(record, number, attempt) for record, number, attempt in pairs]
    if any(map(_is_unusual, (attempt for _, _, attempt in pairs))):
        for row, (_, _, attempt) in zip(rows, pairs, strict=True):
            row |= _unusual(attempt)
    if any(attempt.cause is not None for _, _, attempt in pairs):
        for row, (_, _, attempt) in zip(rows, pairs, strict=True):
            row["cause"] = None if attempt.cause is None else str(attempt.cause)
    if any(attempt.upstream_request_id is not None for _, _, attempt in pairs):
        for row, (_, _, attempt) in zip(rows, pairs, strict=True):
            row["upstream_request_id"] = attempt.upstream_request_id
    if any(attempt.provider for _, _, attempt in pairs):
        for row, (_, _, attempt) in zip(rows, pairs, strict=True):
            row["provider"] = attempt.provider
    return rows


def _attempt_row(record: RequestRecord, number: int, attempt: AttemptRecord) -> Row:
    usage, cost = attempt.usage, attempt.cost
    return {
        "request": record.id,
        "number": number,
        "last": counts(record, number),
        "upstream": str(attempt.upstream),
        "outcome": str(attempt.outcome),
        "status": attempt.status,
        "prompt_tokens": usage.prompt,
        "cached_tokens": _cached(usage),
        "output_tokens": usage.output,
        "usage_complete": usage.complete,
        "cost_input": cost.input,
        "cost_cached_input": cost.cached_input,
        "cost_output": cost.output,
        "first_event_seconds": attempt.first_event_seconds,
        "seconds": attempt.seconds,
        "version": attempt.version,
    }


def _is_unusual(attempt: AttemptRecord) -> bool:
    usage = attempt.usage
    return bool(
        attempt.usage_missing
        or usage.cache_write
        or attempt.cost.tools
        or usage.service_tier is not None
        or usage.reported_cost is not None
    )


def _unusual(attempt: AttemptRecord) -> Row:
    return {
        "cache_write_tokens": attempt.usage.cache_write,
        "usage_missing": attempt.usage_missing,
        "service_tier": attempt.usage.service_tier,
        "cost_cache_write": attempt.cost.cache_write,
        "cost_tools": attempt.cost.tools,
        "cost_reported": attempt.usage.reported_cost,
        "estimated_prompt_tokens": attempt.estimated.prompt,
        "estimated_output_tokens": attempt.estimated.output,
        "cost_estimated": attempt.cost_estimated,
        "estimated_by": ("counted" if attempt.estimated.counted else "estimated") if attempt.usage_missing else None,
    }


def add_up(records: Sequence[RequestRecord], sums: HourlySums) -> None:
    """Add the records to `sums`, by KEYS; what belongs to a request is counted with its last attempt."""
    for record in records:
        hour, size = record.at // HOUR, _size(record)
        for number, attempt in enumerate(record.attempts, 1):
            last = counts(record, number)
            group = (
                hour, attempt.upstream, record.pinned, record.endpoint,
                record.route or "none", record.reason or "none", record.key or "", record.workload, size,
                attempt.provider,
            )  # fmt: skip
            values = (
                int(last),
                1,
                int(attempt.usage_missing),
                attempt.usage.uncached,
                _cached(attempt.usage),
                attempt.usage.cache_write,
                attempt.usage.output,
                attempt.estimated.prompt,
                attempt.estimated.output,
                attempt.cost.input,
                attempt.cost.cached_input,
                attempt.cost.cache_write,
                attempt.cost.output,
                attempt.cost.tools,
                attempt.cost_estimated,
                record.baseline if last else 0,
                record.baseline_input if last else 0,
                record.baseline_output if last else 0,
            )
            total = sums.setdefault(group, [0] * len(values))
            for index, value in enumerate(values):
                if value:
                    total[index] += value


def hourly_rows(sums: HourlySums) -> list[Row]:
    """One row of the table `hourly` per group, sorted by key, so that writers lock rows in the same order."""
    names = COUNTS + MONEY
    rows = [dict(zip(KEYS + names, (*group, *total), strict=True)) for group, total in sums.items()]
    return sorted(rows, key=lambda row: [str(row[name]) for name in KEYS])


_OUTCOME = (
    "request",
    "at",
    "score",
    "novelty",
    "artifact",
    "student_score",
    "teacher_score",
    "student_tokens",
    "teacher_tokens",
    "weight",
)
_COMPARISON = (
    "request",
    "at",
    "key",
    "student_input_value",
    "student_output_value",
    "teacher_input_cost",
    "teacher_output_cost",
    "weight",
    "workload",
    "direction",
    "student_version",
    "teacher_version",
    "logprob",
)


def outcome_rows(records: Sequence[RequestRecord]) -> list[Row]:
    """One row for each compared pair: its scores and lengths."""
    return [
        {**_of(pair, _OUTCOME), "version": pair.student_version, "source": source} for source, pair in _pairs(records)
    ]


def comparison_rows(records: Sequence[RequestRecord]) -> list[Row]:
    """One row for each compared pair: what its two answers cost."""
    return [
        {**_of(pair, _COMPARISON), "size": size_of(pair.student_tokens), "source": source}
        for source, pair in _pairs(records)
    ]


def _pairs(records: Sequence[RequestRecord]) -> Iterator[tuple[str, Pair]]:
    """All compared pairs, each with its source."""
    for record in records:
        if record.pair is not None:
            yield SHADOW, record.pair
        if isinstance(record.candidate, Pair):
            yield CANDIDATE, record.candidate


def _of(pair: Pair, names: Sequence[str]) -> Row:
    return {name: getattr(pair, name) for name in names}


def counts(record: RequestRecord, number: int) -> bool:
    """Whether the request is counted with attempt `number` (from 1): the last one; never for comparisons."""
    return number == len(record.attempts) and record.reason is not Reason.SHADOW


def _size(record: RequestRecord) -> int:
    """The size class of an answer whose baseline is estimated; 0 for others."""
    return answer_size(record.attempts) if record.baseline_input or record.baseline_output else 0


def _cached(usage: Usage) -> int:
    # Clamped as in the cost, so that tokens and money are consistent.
    return min(usage.cached, usage.prompt)
