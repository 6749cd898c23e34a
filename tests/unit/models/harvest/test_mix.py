"""How rows are mixed by the loss that was measured."""

from __future__ import annotations

import pytest

from breakeven.models.harvest.mix import choose, mix
from breakeven.models.harvest.select import Candidate, select
from tests.unit.models.harvest.conversations import compared, kept

KINDS = {"refund": "refund money invoice payment", "travel": "train ticket station journey"}


def candidates(losses: dict[str, float | None], each: int = 20) -> list[Candidate]:
    """Conversations of kinds by words, each compared with this loss, or not."""
    made = []
    for kind, loss in losses.items():
        for number in range(each):
            asked = f"{KINDS[kind]} {kind}{number % 7}"
            id = f"{kind}{number}"
            made.append(kept(id, asked) if loss is None else compared(id, asked, 1.0 - loss, reason="easy"))
    return select(made, 0.0).candidates


def test_a_kind_that_the_student_loses_more_weighs_more() -> None:
    found = candidates({"refund": 0.6, "travel": 0.2})
    mixed = mix(found)
    weights = [mixed.kinds[place].weight for place in mixed.places]
    assert sum(weights) / len(weights) == pytest.approx(1.0)
    assert len(mixed.kinds) > 1
    for one, place in zip(found, mixed.places, strict=True):
        kind = mixed.kinds[place]
        assert kind.loss == pytest.approx(0.6 if one.kept.request.startswith("refund") else 0.2)
        assert kind.compared == kind.rows
        # In proportion to the loss.
        assert kind.weight / mixed.kinds[0].weight == pytest.approx((kind.loss or 0) / (mixed.kinds[0].loss or 0))


def test_comparisons_that_were_seldom_drawn_count_for_more() -> None:
    rows = [compared(f"a{n}", f"refund {n % 3}", 0.0, weight=1.0) for n in range(10)]
    rows += [compared(f"b{n}", f"refund {n % 3}", 1.0, weight=9.0) for n in range(10)]
    (kind,) = mix(select(rows, 0.0).candidates).kinds
    assert (kind.rows, kind.compared, kind.loss) == (20, 20, pytest.approx(0.1))


def test_few_comparisons_are_no_measurement() -> None:
    (kind,) = mix(select([compared(f"a{n}", "refund", 0.0) for n in range(9)], 0.0).candidates).kinds
    assert (kind.compared, kind.loss) == (9, None)


def test_nothing_is_said_of_a_loss_that_was_not_measured() -> None:
    mixed = mix(candidates({"refund": None, "travel": None}))
    assert {(kind.compared, kind.loss, kind.weight) for kind in mixed.kinds} == {(0, None, 1.0)}
    mixed = mix(candidates({"refund": 0.5, "travel": None}))
    unknown = [kind for kind in mixed.kinds if kind.loss is None]
    assert unknown
    # What was measured of the workload stands for it.
    assert {kind.weight for kind in mixed.kinds} == {1.0}


def test_a_student_that_loses_nothing_is_trained_on_everything_alike() -> None:
    mixed = mix(candidates({"refund": 0.0, "travel": -0.1}))
    assert {kind.weight for kind in mixed.kinds} == {1.0}


def test_workloads_are_apart() -> None:
    rows = [kept(f"a{n}", f"same {n}", workload="desk") for n in range(3)] + [kept("b", "same 1", workload="code")]
    mixed = mix(select(rows, 0.0).candidates)
    assert {(kind.name, kind.rows) for kind in mixed.kinds} == {("code", 1), ("desk", 3)}


def test_a_limit_takes_what_the_student_lacks_and_rehearses_the_rest() -> None:
    rows = [kept(f"a{n}", f"refund {n}", reason="difficult") for n in range(50)]
    rows += [kept(f"b{n}", f"travel {n}") for n in range(50)]
    found = select(rows, 0.0).candidates
    weights = [1.0] * 100
    chosen = [found[place].lacks for place in choose(found, weights, 20, 0.2)]
    assert (len(chosen), sum(chosen)) == (20, 16)
    chosen = [found[place].lacks for place in choose(found, weights, 80, 0.2)]
    assert (len(chosen), sum(chosen)) == (80, 50)
    assert choose(found, weights, 20, 0.2) == choose(found, weights, 20, 0.2)
    assert sum(found[place].lacks for place in choose(found, weights, 20, 0.0)) == 20
    few = choose(found[:45], weights[:45], 44, 0.5)
    assert len(few) == 44


def test_a_limit_draws_by_weight() -> None:
    found = select([kept(f"a{n}", f"refund {n}", reason="difficult") for n in range(2000)], 0.0).candidates
    weights = [4.0 if place % 2 else 1.0 for place in range(2000)]
    chosen = choose(found, weights, 200, 0.0)
    heavy = sum(place % 2 for place in chosen) / len(chosen)
    # Four to one, less what the draw without replacement evens out.
    assert 0.7 < heavy < 0.87
