"""Spend logs of a LiteLLM proxy, one record for each request, as a JSON list or as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator

from breakeven.gateway.reports.bills.base import BillRow, Fields


def logs(records: list[Fields]) -> Iterator[BillRow]:
    """One row for each logged request; one that used and cost nothing, such as a failed one, counts as none.

    Raises ValueError.
    """
    for record in records:
        prompt, answer = record.count("prompt_tokens"), record.count("completion_tokens")
        spend = record.cost("spend")
        requests = 1 if prompt or answer or spend else 0
        yield BillRow(record.day("startTime"), record.text("model"), requests, prompt, None, answer, spend)
