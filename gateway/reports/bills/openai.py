"""Exports of OpenAI: pages of the usage and costs APIs as JSON, and the dashboard's CSV files of both."""

from __future__ import annotations

from collections.abc import Iterator

from breakeven.gateway.reports.bills.base import BillRow, Fields


def pages(buckets: list[Fields]) -> Iterator[BillRow]:
    """Rows of the buckets of the usage or costs API. Raises ValueError."""
    for bucket in buckets:
        day = bucket.day("start_time")
        for result in bucket.parts("results"):
            amount = result.part("amount")
            if amount is None:
                yield _usage(day, result)
            else:
                amount.require_usd("currency")
                yield BillRow(day, _line_item(result.text("line_item")), cost=amount.cost("value"))


def is_csv(columns: frozenset[str]) -> bool:
    """Whether a CSV file with these columns is an export of OpenAI's dashboard."""
    return bool(columns & {"start_time", "start_time_iso"}) and bool(columns & {"amount_value", "num_model_requests"})


def csv_rows(rows: list[Fields]) -> Iterator[BillRow]:
    """Rows of the dashboard's CSV files; a day without usage has an empty row, which is left out. Raises ValueError."""
    for row in rows:
        day = row.day("start_time" if row.text("start_time") else "start_time_iso")
        if row.text("amount_value"):
            row.require_usd("amount_currency")
            yield BillRow(day, _line_item(row.text("line_item")), cost=row.cost("amount_value"))
        elif row.text("num_model_requests"):
            yield _usage(day, row)


def _usage(day: int, fields: Fields) -> BillRow:
    return BillRow(
        day,
        fields.text("model"),
        fields.count("num_model_requests"),
        fields.count("input_tokens"),
        fields.count("input_cached_tokens"),
        fields.count("output_tokens"),
    )


def _line_item(text: str) -> str:
    # Such as `gpt-4o-2024-08-06, cached input`.
    return text.partition(",")[0].strip()
