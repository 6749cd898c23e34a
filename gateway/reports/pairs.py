"""Compared pairs for the baseline from outcome rows, such as those that `breakeven distill evaluate` writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from breakeven.gateway.accounting.prices import Price
from breakeven.gateway.accounting.usage import Usage
from breakeven.gateway.economics.baseline import PricedPair
from breakeven.gateway.economics.breakeven import value
from breakeven.gateway.economics.traffic import size_of
from breakeven.router.outcomes import TOKENS, OutcomeRow


class Pairs(NamedTuple):
    """Pairs by an id made from the row, and how many rows lack token counts."""

    found: dict[str, PricedPair]
    incomplete: int


def pairs(rows: Sequence[OutcomeRow], price: Price, workload: str) -> Pairs:
    """The rows with all four token counts as pairs at the teacher's price, of this workload. All weigh the same."""
    found: dict[str, PricedPair] = {}
    incomplete = 0
    for row in rows:
        counts = [count for name in TOKENS if isinstance(count := row.record.get(name), int) and count > 0]
        if len(counts) < len(TOKENS):
            incomplete += 1
            continue
        student_output, teacher_output, student_input, teacher_input = counts
        student = value(Usage(student_input, 0, student_output, complete=True), price)
        teacher = value(Usage(teacher_input, 0, teacher_output, complete=True), price)
        key = json.dumps([workload, row.id, row.text, counts])
        found[hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]] = PricedPair(
            "", *student, *teacher, 1.0, workload, size_of(student_output)
        )
    return Pairs(found, incomplete)
