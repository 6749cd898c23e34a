"""The compiled inner loops against those in numpy, to the bit."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.router.features import kernel, kernel_numpy
from breakeven.router.features.extract import SHAPE, extract, normalise
from breakeven.router.features.kernel_numpy import BLOCK, DIMENSIONS
from breakeven.router.model.artifact import load
from breakeven.router.model.forest import LEAVES
from breakeven.router.model.novelty import CANDIDATES, POSTINGS

native: ModuleType = pytest.importorskip(
    "breakeven.router.features._kernel", reason="the package was installed without a C compiler"
)

ARTIFACT = load()
TEXT = st.text(st.characters(codec=None, categories=None), max_size=300)
_WORDS = [
    "what",
    "is",
    "the",
    "sum",
    "of",
    "2",
    "and",
    "37",
    "?",
    "x_1",
    "$a\\b$",
    "\n",
    "Grüße",
    "日本",
    "。",
    "interestingly",
]
PROSE = st.lists(st.sampled_from(_WORDS)).map(" ".join)


def test_what_was_compiled_is_used() -> None:
    assert kernel.COMPILED
    assert kernel.grams is native.grams


@given(st.one_of(TEXT, PROSE))
def test_grams_and_measures(text: str) -> None:
    plain = normalise(text)
    places, *counts = kernel_numpy.grams(plain)
    found, *counted = native.grams(plain)
    assert np.frombuffer(found, np.int64).tolist() == places.tolist()
    assert counted == counts
    written = text.encode("utf-8", "replace")
    assert native.measure(written) == kernel_numpy.measure(written)


@given(st.binary(max_size=40))
def test_grams_and_measures_of_any_bytes(plain: bytes) -> None:
    places, *counts = kernel_numpy.grams(plain)
    found, *counted = native.grams(plain)
    assert (np.frombuffer(found, np.int64).tolist(), counted) == (places.tolist(), counts)
    assert native.measure(plain) == kernel_numpy.measure(plain)


@given(st.one_of(TEXT, PROSE))
def test_sums_over_the_tables(text: str) -> None:
    features = extract(text)
    table = ARTIFACT.difficulty._table
    weighed = native.weigh(features.places, features.words, table)
    assert weighed == kernel_numpy.weigh(features.places, features.words, table)
    novelty = ARTIFACT.novelty
    args = (features.shape, novelty._mean, novelty._scale, novelty._whiten)
    assert native.distance(*args) == kernel_numpy.distance(*args)


@given(st.one_of(TEXT, PROSE), st.integers(1, POSTINGS), st.integers(1, CANDIDATES))
def test_nearest_texts(text: str, postings: int, most: int) -> None:
    features = extract(text)
    args = (features.places[: features.sample], features.words, ARTIFACT.novelty._index, postings, most)
    *sums, near = native.nearest(*args)
    *expected, texts = kernel_numpy.nearest(*args)
    assert sums == expected
    assert sorted(near) == sorted(texts)


@given(st.lists(st.integers(-(1 << 20), 1 << 20), min_size=len(SHAPE), max_size=len(SHAPE)))
def test_votes(values: list[int]) -> None:
    shape = np.array(values)
    forest = ARTIFACT.difficulty.forest
    args = (shape, forest._measures, forest._thresholds, forest._leaves, forest._values)
    assert native.vote(*args) == kernel_numpy.vote(*args)


@given(st.one_of(TEXT, PROSE))
def test_points_and_polls(text: str) -> None:
    features = extract(text)
    space, votes = ARTIFACT.difficulty._space, ARTIFACT.difficulty._votes
    args = (features.places[: features.words], space._row_of, space._table)
    point = native.locate(*args)
    assert point == kernel_numpy.locate(*args)
    assert native.poll(point, votes._points, votes._opinions) == kernel_numpy.poll(
        point, votes._points, votes._opinions
    )


@given(st.lists(st.integers(-4096, 4096), min_size=DIMENSIONS, max_size=DIMENSIONS), st.integers(0, 2**32 - 1))
def test_polls_of_any_points(values: list[int], seed: int) -> None:
    # Also such as are longer than LENGTH: a cosine above one counts as one.
    rng = np.random.default_rng(seed)
    points = rng.integers(-1500, 1500, (3, DIMENSIONS, BLOCK)).astype(np.int16)
    opinions = rng.integers(-(2**31), 2**31, (3, 2, BLOCK)).astype(np.int32)
    args = (np.array(values, np.int16).tobytes(), points, opinions)
    assert native.poll(*args) == kernel_numpy.poll(*args)


def test_no_forest() -> None:
    none = np.zeros((LEAVES - 1, 0), np.int64)
    shape = np.zeros(len(SHAPE), np.int64)
    assert native.vote(shape, none, none, none, np.zeros((0, LEAVES, 2), np.int64)) == (0, 0)


def test_tables_that_do_not_fit_are_refused() -> None:
    places, shape = np.array([0, 7]), np.zeros(3, np.int64)
    with pytest.raises(ValueError, match="weights"):
        native.weigh(places, 1, np.zeros((7, 3), np.int32))
    with pytest.raises(ValueError, match="measures"):
        native.distance(shape, shape, np.zeros(2), np.zeros((3, 3), np.int64))
    split = np.array([[3]])
    with pytest.raises(ValueError, match="forest"):
        native.vote(shape, split, split, split, np.zeros((1, 2, 2), np.int64))
    rows, table, votes = np.zeros(7, np.uint16), np.zeros((1, DIMENSIONS), np.int16), ARTIFACT.difficulty._votes
    for args in ((places, rows, table), (places[:1], rows + np.uint16(1), table)):
        with pytest.raises(ValueError, match="latent space"):
            native.locate(*args)
    for point in (b"", bytes(2 * DIMENSIONS + 2)):
        with pytest.raises(ValueError, match="votes"):
            native.poll(point, votes._points, votes._opinions)
    with pytest.raises(ValueError, match="votes"):
        native.poll(bytes(2 * DIMENSIONS), votes._points[1:], votes._opinions)
    # One number more than belongs to whole rows.
    with pytest.raises(ValueError, match="votes"):
        native.poll(bytes(2 * DIMENSIONS), votes._points[:1], np.zeros(2 * BLOCK + 1, np.int32))
    known, *others = ARTIFACT.novelty._index
    for index in ((known[:7], *others), (known, others[0][:-1], *others[1:]), (known, *others[:-1], others[-1][:-1])):
        with pytest.raises(ValueError, match="index"):
            native.nearest(places, 1, index, POSTINGS, CANDIDATES)
    none, texts = np.zeros(0, np.uint32), np.zeros(1, np.uint32)
    nothing = (none, texts, np.zeros(0, np.uint16), none, texts, none, np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="index"):
        native.nearest(places[:0], 0, nothing, POSTINGS, CANDIDATES)
