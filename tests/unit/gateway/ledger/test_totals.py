"""Sums over any period and grouping, without overflow."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breakeven.gateway.accounting.record import Pair
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.economics.statement import BY, state
from breakeven.gateway.economics.totals import COUNTS, MONEY, Sum
from breakeven.gateway.economics.traffic import together
from breakeven.gateway.ledger import Investment, Ledger
from breakeven.gateway.ledger.rows import KEYS
from breakeven.gateway.ledger.statements import comparisons, grouped, read
from breakeven.router.policy import Reason, Route
from tests.unit.gateway.ledger.records import record

DAY = 24 * HOUR


def figures(total: Sum) -> tuple[int, ...]:
    return tuple(getattr(total, name) for name in COUNTS + MONEY)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    for index in range(60):
        route = Route.STUDENT if index % 3 else Route.TEACHER
        ledger.settle(
            record(
                at=index * HOUR // 4 + 7,
                route=route,
                pinned=index % 7 == 0,
                key=("team-a", "team-b", None)[index % 3],
                workload=("default", "support")[index % 5 == 0],
                provider=("", "west")[route is Route.TEACHER and index % 4 == 0],
                output=(5, 100, 1000, 5000)[index // 3 % 4],
                reason=Reason.EASY if route is Route.STUDENT else Reason.DIFFICULT,
                complete=index % 11 != 0,
                attempts=1 + index % 2,
                money=10**9 + index,
                baseline=10**10 + index,
            )
        )
    assert ledger.flush(20)
    return ledger


def priced(index: int, key: str, teacher_output: int) -> Pair:
    return Pair(
        f"{index:032x}", 20 * HOUR, None, None, "0" * 12, 1.0, 1.0, 5, 5, 2.0, 40, 40, 40, teacher_output, key
    )  # fmt: skip


def compared(ledger: Ledger) -> None:
    """Compared pairs in hour 20, in which the teacher's answers are about as long as the student's."""
    for index in range(60):
        pair = priced(index, "", 30 + index % 21)
        ledger.settle(msgspec.structs.replace(record(at=20 * HOUR, reason=Reason.SHADOW, money=0), pair=pair))
    assert ledger.flush(20)


@pytest.mark.parametrize("group_by", [(), ("hour",), ("upstream", "pinned"), ("key", "reason"), ("provider",), KEYS])
def test_hourly_sums_agree_with_the_raw_rows(filled: Ledger, group_by: tuple[str, ...]) -> None:
    whole = filled.sums(group_by, 0, 15 * HOUR)
    # A microsecond that has no request in it forces the raw rows for the hours that it cuts.
    cut = filled.sums(group_by, 1, 15 * HOUR + 1)
    assert [(g.group, figures(g)) for g in whole] == [(g.group, figures(g)) for g in cut]
    assert sum(g.requests for g in whole) == 60
    assert sum(g.attempts for g in whole) == 90


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.integers(-HOUR, 17 * HOUR), min_size=2, max_size=2))
def test_adjacent_periods_add_up_to_the_total(filled: Ledger, cuts: list[int]) -> None:
    first, last = sorted(cuts)
    parts = [filled.sums((), None, first), filled.sums((), first, last), filled.sums((), last, None)]
    assert sum(part[0].requests for part in parts) == 60
    assert sum(part[0].cost for part in parts) == filled.sums()[0].cost
    expected = sum(first <= index * HOUR // 4 + 7 < last for index in range(60))
    assert parts[1][0].requests == expected


def test_groups_are_sorted_and_typed(filled: Ledger) -> None:
    groups = [g.group for g in filled.sums(("hour", "upstream", "pinned"), 1, 15 * HOUR + 1)]
    assert groups == sorted(groups)
    assert {type(value) for group in groups for value in group} == {int, str, bool}


def test_sums_beyond_64_bits_are_exact(ledger: Ledger) -> None:
    huge = 9 * 10**18
    for index in range(4):
        ledger.settle(record(at=index * HOUR, money=huge, baseline=huge))
    assert ledger.flush(20)
    (total,) = ledger.sums()
    assert (total.cost, total.baseline) == (4 * huge, 4 * huge)
    (cut,) = ledger.sums((), 0, 3 * HOUR + 1)
    assert cut.cost == 4 * huge


def test_an_unknown_group_is_rejected(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match=r"cannot group by prompt.*hour"):
        ledger.sums(("prompt",))


def test_an_empty_ledger_has_one_sum_of_zeros(ledger: Ledger) -> None:
    assert [figures(g) for g in ledger.sums()] == [(0,) * len(COUNTS + MONEY)]
    assert ledger.sums(("hour",)) == []


def test_cached_tokens_are_clamped_to_prompt_tokens(ledger: Ledger) -> None:
    ledger.settle(record(at=5, prompt=10, cached=90))
    assert ledger.flush(20)
    for period in ((0, HOUR), (1, HOUR - 1)):
        (total,) = ledger.sums((), *period)
        assert (total.input_tokens, total.cached_input_tokens) == (0, 10)


def test_hours_are_the_sums_of_routed_traffic(filled: Ledger) -> None:
    for until in (None, 3 * HOUR, 3 * HOUR + HOUR // 2, 3 * HOUR + 1, 0, -5):
        for keys in ((), ("team-b",)):
            known: dict[int, int] = {}
            spend: dict[int, int] = {}
            student: dict[int, dict[tuple[str, str, int], tuple[int, int]]] = {}
            for one in filled.sums(("hour", "pinned", "workload", "key", "size"), None, until):
                hour, pinned, workload, key, size = one.group
                at = int(str(hour))
                spend[at] = spend.get(at, 0) + (0 if pinned else one.cost)
                known[at] = known.get(at, 0) + one.baseline - one.baseline_input - one.baseline_output
                if one.baseline_input:
                    # Only the keys asked for are apart, and only in the default workload.
                    own = str(key) if workload == "default" and key in keys else ""
                    before = student.setdefault(at, {}).setdefault((str(workload), own, int(str(size))), (0, 0))
                    sums = before[0] + one.baseline_input, before[1] + one.baseline_output
                    student[at][str(workload), own, int(str(size))] = sums
            expected = [(at, (known[at], student.get(at, {})), spend[at]) for at in sorted(spend)]
            assert filled.hours(until, keys) == expected
    strata = together(hour.traffic for hour in filled.hours(None, ("team-b",))).student
    assert {(of.workload, of.size) for of in strata} == {
        (of, size) for of in ("default", "support") for size in (1, 2, 3, 4)
    }
    assert {of.key for of in strata} == {"", "team-b"}


def test_metrics_and_report_have_the_same_statement(filled: Ledger) -> None:
    compared(filled)
    filled.invest(Investment("data", 5, 3 * 10**11))
    now = 40 * HOUR
    groups = filled.sums(BY)
    expected = state(
        groups, filled.hours(), filled.hosting(now), filled.investment(), since=None, until=now,
        comparisons=comparisons(filled, now),
    )  # fmt: skip
    assert expected.savings is not None
    assert read(filled, now).statement == expected
    assert expected.payback_at is not None
    assert expected.payback_at < now
    later = read(filled, now, since=2 * HOUR).statement
    assert (later.payback_at, later.payback_ratio) == (expected.payback_at, expected.payback_ratio)
    assert later.requests < expected.requests
    for empty in (0, -5):
        assert read(filled, now, until=empty).statement.requests == 0


def test_the_curve_ends_with_the_savings_of_the_statement(filled: Ledger) -> None:
    compared(filled)
    books = read(filled, 40 * HOUR)
    assert books.statement.savings is not None
    end = books.curve[-1]
    assert (end.total, end.low, end.high) == books.statement.savings[:3]
    assert end.low < end.total < end.high
    assert read(filled, 40 * HOUR, until=10 * HOUR).statement.pairs == 0  # compared later


def test_a_key_with_enough_pairs_has_a_ratio_of_its_own(filled: Ledger) -> None:
    for index in range(120):
        pair = priced(index, "team-a" if index % 2 else "team-b", 20 if index % 2 else 60)
        filled.settle(msgspec.structs.replace(record(at=20 * HOUR, reason=Reason.SHADOW, money=0), pair=pair))
    assert filled.flush(20)
    by_key = {total.group: (total, baseline) for total, baseline in grouped(filled, ["key"], 40 * HOUR, None, None)}
    for key, ratio in (("team-a", 0.5), ("team-b", 1.5)):
        total, baseline = by_key[key,]
        assert baseline is not None
        # But not in a workload of its own, which is one whoever sends it.
        (named,) = (one for one in filled.sums(("key", "workload")) if one.group == (key, "support"))
        output = ratio * (total.baseline_output - named.baseline_output) + named.baseline_output
        assert baseline.value == pytest.approx(total.baseline - total.baseline_output + output, abs=4)


def test_the_parts_by_workload_key_and_any_group_add_up_to_the_statement(filled: Ledger) -> None:
    compared(filled)
    filled.invest(Investment("data", 5, 3 * 10**11))
    statement = read(filled, 40 * HOUR).statement
    assert statement.baseline is not None
    assert statement.savings is not None
    for parts in (statement.by_workload, statement.by_key):
        assert len(parts) > 1
        assert sum(one.spend for one in parts) == statement.routed_spend
        assert sum(one.hosting for one in parts) == statement.hosting
        savings = [one.savings for one in parts if one.savings is not None]
        assert sum(one.value for one in savings) == pytest.approx(statement.savings.value, abs=10)
        assert all(one.low <= one.value <= one.high for one in savings)
    assert [one.name for one in statement.by_workload] == ["default", "support"]
    assert {one.name for one in statement.by_key} == {"team-a", "team-b", "(none)", "(shadow)"}
    for by in (["day"], ["reason", "key"], ["workload"], ["endpoint", "workload", "key"]):
        found = [one.baseline.value for one in grouped(filled, by, 40 * HOUR, None, None) if one.baseline is not None]
        assert sum(found) == pytest.approx(statement.baseline.value, abs=20)
