"""Which pairs people are asked about, and with which probabilities."""

from __future__ import annotations

import math
import uuid

import numpy as np
import pytest

from breakeven.gateway.road.choosing import Candidate, Session, chosen, priority, size


def test_pairs_that_the_scorer_may_err_on_are_larger() -> None:
    sizes = [
        size(1.0, 1.0, 1.0, same_text=True),
        size(0.8, 0.8, 1.0),
        size(0.2, 0.9, 1.0),
        size(0.8, 0.8, 1.0, consistent=False),
    ]
    assert sizes == sorted(sizes)
    assert 0.0 < sizes[0] < sizes[-1]
    assert size(0.8, 0.8, 50.0) == pytest.approx(50 * size(0.8, 0.8, 1.0))


def test_a_pair_keeps_its_priority() -> None:
    assert priority("a", 0.5) == priority("a", 0.5) == pytest.approx(priority("a", 1.0) * 2)
    assert chosen(0.5, 1.0) == 0.5
    assert chosen(0.5, math.inf) == 1.0


def test_probabilities_say_how_often_pairs_are_asked_about() -> None:
    """Over many drawings, sums of one over the probability are right on average, over two sessions of which the first
    one was left before its end and the second one has new pairs.
    """
    rng = np.random.default_rng(1)
    sums, asked = [], []
    for _ in range(400):
        values = {uuid.UUID(bytes=rng.bytes(16)).hex: float(number % 7) for number in range(200)}
        sizes = {request: 0.1 + 0.2 * (value > 4.0) for request, value in values.items()}
        names = list(values)
        known: dict[str, float] = {}
        for reached, count in ((150, 12), (200, 30)):
            session = Session([Candidate(one, sizes[one], one in known) for one in names[:reached]], 30)
            judged = session.asked[:count]
            for one, probability in session.probabilities(count, [*session.before, *judged]).items():
                known[one] = max(probability, known.get(one, 0.0))
        asked.append(len(known))
        sums.append(sum(values[one] / probability for one, probability in known.items()))
    assert set(asked) == {42}
    assert np.mean(sums) == pytest.approx(sum(number % 7 for number in range(200)), abs=4 * np.std(sums) / 20)


def test_who_answers_all_was_asked_about_all() -> None:
    session = Session([Candidate(one, 0.3, False) for one in ("a", "b", "c")], 10)
    assert sorted(session.asked) == ["a", "b", "c"]
    assert session.probabilities(3, session.asked) == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert session.probabilities(0, []) == {}
