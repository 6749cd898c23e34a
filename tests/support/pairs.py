"""Compared pairs with a known ratio: a prompt costs three quarters of its value at the teacher, an answer half."""

from __future__ import annotations

from breakeven.gateway.economics.baseline import PricedPair, Ratios
from breakeven.gateway.economics.statement import compare

PAIRS = [PricedPair("", 40_000, 20_000, 30_000, 10_000, 4.0)] * 60
COMPARISONS = compare(PAIRS)
# All pairs are alike, so the interval has no width.
EXACT = Ratios(PAIRS)
