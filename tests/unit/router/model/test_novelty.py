"""Novelty: a calibrated quantile of the reference set that is high for other kinds of text."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.features.extract import extract
from breakeven.router.model.artifact import load
from breakeven.router.model.novelty import Novelty, TailScore, shrink
from breakeven.router.outcomes import OutcomeError
from breakeven.router.training.novelty import fit_novelty
from tests.unit.router.conftest import make_rows

TEXT = st.text(st.characters(codec=None, categories=None), max_size=400)
SHARE = st.floats(0, 1)
SHIPPED = load()


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    return Novelty(fit_novelty([extract(row["prompt"]) for row in make_rows(600)]).tables)


@given(TEXT)
def test_every_text_has_a_novelty(text: str) -> None:
    score, novelty = SHIPPED.assess(text)
    assert 0.0 <= score <= 1.0
    assert novelty is not None
    assert 0.0 <= novelty < 1.0


def test_texts_like_the_reference_set_are_rarely_novel(novelty: Novelty) -> None:
    seen = np.array([novelty.quantile(extract(row["prompt"])) for row in make_rows(1000, seed=5)])
    assert np.mean(seen >= 0.95) < 0.09
    assert 0.3 < np.mean(seen >= 0.5) < 0.6


def test_other_texts_are_novel(novelty: Novelty) -> None:
    rng = random.Random(1)
    noise = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789 ", k=200))
    code = "def f(x):\n    return {'a': x[0] + 1}\n\nassert f([1]) == {'a': 2}\n"
    for text in (
        noise,
        code,
        "\u5b88\u8f66\u4e0a\u6709 4 \u53ea\u9e1f\u3002",
        "Quanto costa un biglietto per Roma?",
    ):
        assert novelty.quantile(extract(text)) >= 0.99, text


@pytest.mark.parametrize("text", ["", "hi", "ok", "qzx", "\u8c22\u8c22", "???"])
def test_too_short_a_text_is_never_novel(novelty: Novelty, text: str) -> None:
    assert novelty.quantile(extract(text)) <= 0.5


def test_too_few_reference_texts_are_an_error() -> None:
    with pytest.raises(OutcomeError, match="at least 40 different texts, there are 1"):
        fit_novelty([extract("the same")] * 100)


def test_a_small_reference_set_never_gives_a_high_novelty() -> None:
    # With 60 texts no false positive rate below 1 in 61 can be guaranteed, so that nothing reaches .99.
    novelty = Novelty(fit_novelty([extract(row["prompt"]) for row in make_rows(60)]).tables)
    assert novelty.quantile(extract("\u5b88\u8f66\u4e0a")) < 0.99


def test_the_tail_score_matches_values_computed_by_hand() -> None:
    tail = TailScore([float(n) for n in range(99)])
    assert tail(-1.0) == pytest.approx(np.log(100 / 100))
    assert tail(49.0) == pytest.approx(np.log(100 / 51))
    assert tail(98.5) > tail(98.0) > tail(97.0)


@given(score=SHARE, novelty=SHARE, base=SHARE)
def test_shrinking_goes_towards_the_base_rate(score: float, novelty: float, base: float) -> None:
    shrunk = shrink(score, novelty, base)
    assert min(score, base) - 1e-12 <= shrunk <= max(score, base) + 1e-12
    assert abs(shrink(score, min(1.0, novelty + 0.05), base) - base) <= abs(shrunk - base) + 1e-12
    if novelty <= 0.5 or (novelty <= 0.95 and score <= base):
        assert shrunk == pytest.approx(score)
