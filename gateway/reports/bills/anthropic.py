"""Exports of Anthropic: the usage and cost reports of the Admin API as JSON, and the console's CSV files of both."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from breakeven.gateway.reports.bills.base import BillRow, Fields, total

_CENT = Decimal("0.01")
_KINDS = ("no_cache", "cache_write_5m", "cache_write_1h", "cache_write", "cache_read")


def pages(buckets: list[Fields]) -> Iterator[BillRow]:
    """Rows of the buckets of a usage or cost report. Raises ValueError."""
    for bucket in buckets:
        day = bucket.day("starting_at")
        for result in bucket.parts("results"):
            if result.text("amount"):
                # The amount is a decimal string in the currency's smallest unit.
                result.require_usd("currency")
                yield BillRow(day, result.text("model"), cost=result.cost("amount", _CENT))
            else:
                yield _usage(day, result)


def _usage(day: int, result: Fields) -> BillRow:
    read = result.count("cache_read_input_tokens")
    written = result.part("cache_creation")
    kinds = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    return BillRow(
        day,
        result.text("model"),
        None,
        total(
            result.count("uncached_input_tokens"),
            read,
            result.count("cache_creation_input_tokens"),
            *(() if written is None else map(written.count, kinds)),
        ),
        read,
        result.count("output_tokens"),
    )


def is_csv(columns: frozenset[str]) -> bool:
    """Whether a CSV file with these columns is an export of Anthropic's console."""
    return "usage_date_utc" in columns and bool(columns & {"cost_usd", "usage_output_tokens"})


def csv_rows(rows: list[Fields]) -> Iterator[BillRow]:
    """Rows of the console's CSV files of usage and of cost. Raises ValueError."""
    for row in rows:
        yield BillRow(
            row.day("usage_date_utc"),
            row.text("model_version") or row.text("model"),
            None,
            total(*(row.count(f"usage_input_tokens_{kind}") for kind in _KINDS)),
            row.count("usage_input_tokens_cache_read"),
            row.count("usage_output_tokens"),
            row.cost("cost_usd"),
        )
