"""Compared pairs in the ledger."""

from __future__ import annotations

import msgspec

from breakeven.gateway.accounting.record import Pair
from breakeven.gateway.economics.baseline import PricedPair
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.ledger import Ledger
from breakeven.router.policy import Reason
from tests.unit.gateway.ledger.records import record


def test_priced_pairs_are_read_newest_first_and_before_a_moment(ledger: Ledger) -> None:
    for at, key in ((HOUR, "team-a"), (2 * HOUR, ""), (3 * HOUR, "team-b")):
        pair = Pair(f"{at:032x}", at, 0.1, None, "0" * 12, 0.5, 1.0, 65, 7, 4.0, 10, 20, 30, 40, key, "support")
        ledger.settle(msgspec.structs.replace(record(at=at, reason=Reason.SHADOW), pair=pair))
    assert ledger.flush(20)
    expected = [PricedPair(key, 10, 20, 30, 40, 4.0, "support", 2) for key in ("team-b", "", "team-a")]
    assert ledger.priced_pairs() == expected
    assert [pair.key for pair in ledger.priced_pairs(3 * HOUR)] == ["", "team-a"]
    assert len(ledger.compared(0)) == 3
