"""The statement of a period."""

from __future__ import annotations

from breakeven.gateway.economics.baseline import Estimate
from breakeven.gateway.economics.hosting import Hosting, Rate
from breakeven.gateway.economics.periods import HOUR
from breakeven.gateway.economics.statement import BY, compare, state
from breakeven.gateway.economics.totals import Hour, Sum, add, traffic_of
from breakeven.gateway.economics.traffic import traffic
from breakeven.router.policy import Route
from tests.support.pairs import COMPARISONS, PAIRS


def sums(
    upstream: str, pinned: bool = False, reason: str = "easy", *, prompt: int = 0, answer: int = 0, cost: int = 0,
    tokens: int = 0, workload: str = "default", key: str = "", provider: str = "",
) -> Sum:  # fmt: skip
    """Prompts and answers are of the student where `upstream` is, in picodollars at the teacher's prices."""
    of_student = {"baseline_input": prompt, "baseline_output": answer} if upstream == "student" else {}
    return Sum(
        (upstream, pinned, reason, workload, key, 0, provider), requests=1, attempts=1, input_tokens=tokens,
        cost_input=cost, baseline=prompt + answer, **of_student,
    )  # fmt: skip


GROUPS = [
    sums("student", prompt=160, answer=200, tokens=1_000_000),
    sums("teacher", answer=40, cost=30, tokens=7),
    sums("teacher", reason="shadow", cost=10, tokens=7),
    sums("teacher", True, "pinned", cost=1000, tokens=7),
]
# As GROUPS in two hours.
HOURS = [Hour(0, traffic(40, 80, 100), 40), Hour(1, traffic(0, 80, 100), 0)]


def test_pinned_traffic_is_excluded_from_baseline_and_spend() -> None:
    one = state(GROUPS, HOURS, Hosting([Rate(0, 10)]), 60, since=None, until=2 * HOUR, comparisons=COMPARISONS)
    assert (one.routed_spend, one.pinned_spend, one.hosting) == (40, 1000, 20)
    # Three quarters of the prompts and half of the answers, beside what the teacher answered itself.
    assert one.baseline == Estimate(40 + 120 + 100, 260, 260, 60)
    assert one.savings == Estimate(260 - 40 - 20, 200, 200, 60)
    assert one.savings_upper_bound == 400 - 40 - 20
    assert (one.pairs, one.pairs_needed) == (60, 0)
    assert one.requests == 4
    assert one.upstreams[Route.TEACHER].cost == 1040
    assert one.shadow_spend == 10
    assert one.student_per_million == 20
    assert one.payback_ratio == 200 / 60
    assert one.payback_at == HOUR * 1


def test_further_models_are_in_no_other_figure() -> None:
    further = [
        sums("model", True, "pinned", cost=500, tokens=9, provider="embed"),
        sums("model", True, "pinned", cost=70, provider="draws"),
        sums("model", True, "pinned", cost=1, key="team", provider="draws"),
    ]
    alone, both = (
        state(groups, HOURS, Hosting([Rate(0, 10)]), 60, since=None, until=2 * HOUR, comparisons=COMPARISONS)
        for groups in (GROUPS, GROUPS + further)
    )
    assert [(one.group, one.requests, one.cost) for one in both.models] == [(("draws",), 2, 71), (("embed",), 1, 500)]
    assert (both.upstreams[Route.MODEL].cost, both.requests) == (571, 7)
    for name in ("baseline", "savings", "routed_spend", "pinned_spend", "savings_upper_bound", "by_workload", "by_key"):
        assert getattr(both, name) == getattr(alone, name), name


def test_nothing_is_called_savings_until_answers_were_compared() -> None:
    one = state(GROUPS, HOURS, Hosting([Rate(0, 10)]), 60, since=None, until=2 * HOUR, comparisons=compare(PAIRS[:49]))
    assert (one.baseline, one.savings, one.payback_ratio, one.payback_at) == (None, None, None, None)
    assert (one.savings_upper_bound, one.traffic.upper_bound) == (340, 400)
    assert (one.pairs, one.pairs_needed) == (49, 1)


def test_the_payback_of_a_period_is_that_of_the_whole_history() -> None:
    rates = Hosting([Rate(0, 10)])
    groups = [sums("student", prompt=80, answer=100)]
    period = state(groups, HOURS, rates, 120, since=HOUR, until=2 * HOUR, comparisons=COMPARISONS)
    assert period.savings is not None
    assert (period.savings.value, period.hosting, period.since) == (110 - 10, 10, HOUR)
    assert (period.payback_ratio, period.payback_at) == (200 / 120, 2 * HOUR)


def test_an_empty_ledger() -> None:
    one = state([], [], Hosting([]), 0, since=None, until=HOUR)
    assert (one.requests, one.savings, one.savings_upper_bound, one.hosting) == (0, None, 0, 0)
    assert (one.payback_ratio, one.payback_at, one.student_per_million) == (None, None, None)
    assert (one.pairs, one.pairs_needed) == (0, 50)


def test_hosting_without_traffic_is_a_loss() -> None:
    one = state([], [], Hosting([Rate(0, 10)]), 100, since=None, until=24 * HOUR, comparisons=COMPARISONS)
    assert (one.savings, one.payback_ratio, one.payback_at) == (Estimate(-240, -240, -240, 60), -2.4, None)


def test_sums_add_up() -> None:
    total = add(GROUPS)
    assert (total.requests, total.tokens, total.cost, total.baseline) == (4, 1_000_021, 1040, 400)
    assert traffic_of(GROUPS, BY) == traffic(40, 160, 200)


def test_payback_without_hosting_or_before_it_began() -> None:
    for rates in ([], [Rate(10 * HOUR, 0)]):
        one = state(GROUPS, HOURS, Hosting(rates), 220, since=None, until=4 * HOUR, comparisons=COMPARISONS)
        assert one.savings is not None
        assert (one.since, one.savings.value, one.payback_at) == (0, 220, 2 * HOUR)
