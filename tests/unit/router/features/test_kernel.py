"""The compiled inner loops give the same results as those in numpy, to the bit."""

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
from breakeven.router.outcomes import OutcomeRow
from breakeven.router.training.train import fit
from tests.unit.router.conftest import make_rows

native: ModuleType = pytest.importorskip(
    "breakeven.router.features._kernel", reason="the package was installed without a C compiler"
)

ARTIFACT = load()
# The artifact that ships has neither a forest nor a kNN table.
TRAINED = fit(
    [
        OutcomeRow(r["id"], r["prompt"], r["student_score"], r["teacher_score"], r["category"], r["split"], r)
        for r in make_rows(300)
    ]
).difficulty()
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


def test_the_compiled_kernel_is_used() -> None:
    assert kernel.COMPILED
    assert kernel.ngrams is native.ngrams


@given(st.one_of(TEXT, PROSE))
def test_n_grams_and_character_counts_agree(text: str) -> None:
    plain = normalise(text)
    buckets, *counts = kernel_numpy.ngrams(plain)
    found, *counted = native.ngrams(plain)
    assert np.frombuffer(found, np.int64).tolist() == buckets.tolist()
    assert counted == counts
    written = text.encode("utf-8", "replace")
    assert native.count_characters(written) == kernel_numpy.count_characters(written)


@given(st.binary(max_size=40))
def test_n_grams_and_character_counts_of_any_bytes_agree(plain: bytes) -> None:
    buckets, *counts = kernel_numpy.ngrams(plain)
    found, *counted = native.ngrams(plain)
    assert (np.frombuffer(found, np.int64).tolist(), counted) == (buckets.tolist(), counts)
    assert native.count_characters(plain) == kernel_numpy.count_characters(plain)


@given(st.one_of(TEXT, PROSE))
def test_weight_sums_and_mahalanobis_distances_agree(text: str) -> None:
    features = extract(text)
    table = ARTIFACT.difficulty._table
    weighed = native.sum_weights(features.buckets, features.word_end, table)
    assert weighed == kernel_numpy.sum_weights(features.buckets, features.word_end, table)
    novelty = ARTIFACT.novelty
    args = (features.shape, novelty._mean, novelty._scale, novelty._whiten)
    assert native.mahalanobis(*args) == kernel_numpy.mahalanobis(*args)


@given(st.one_of(TEXT, PROSE), st.integers(1, POSTINGS), st.integers(1, CANDIDATES))
def test_nearest_reference_texts_agree(text: str, postings: int, most: int) -> None:
    features = extract(text)
    args = (features.buckets[: features.sample_end], features.word_end, ARTIFACT.novelty._index, postings, most)
    *sums, near = native.nearest(*args)
    *expected, texts = kernel_numpy.nearest(*args)
    assert sums == expected
    assert sorted(near) == sorted(texts)


@given(st.lists(st.integers(-(1 << 20), 1 << 20), min_size=len(SHAPE), max_size=len(SHAPE)))
def test_forest_sums_agree(values: list[int]) -> None:
    shape = np.array(values)
    forest = TRAINED.forest
    args = (shape, forest._measures, forest._thresholds, forest._leaves, forest._values)
    assert native.forest_sums(*args) == kernel_numpy.forest_sums(*args)


@given(st.one_of(TEXT, PROSE))
def test_latent_points_and_knn_sums_agree(text: str) -> None:
    features = extract(text)
    space, knn = TRAINED._space, TRAINED._knn
    args = (features.buckets[: features.word_end], space._row_of, space._table)
    point = native.latent_point(*args)
    assert point == kernel_numpy.latent_point(*args)
    assert native.knn_sums(point, knn._points, knn._labels) == kernel_numpy.knn_sums(point, knn._points, knn._labels)


@given(st.lists(st.integers(-4096, 4096), min_size=DIMENSIONS, max_size=DIMENSIONS), st.integers(0, 2**32 - 1))
def test_knn_sums_of_any_points_agree(values: list[int], seed: int) -> None:
    # Points may be longer than POINT_LENGTH: a cosine above one counts as one.
    rng = np.random.default_rng(seed)
    points = rng.integers(-1500, 1500, (3, DIMENSIONS, BLOCK)).astype(np.int16)
    labels = rng.integers(-(2**31), 2**31, (3, 2, BLOCK)).astype(np.int32)
    args = (np.array(values, np.int16).tobytes(), points, labels)
    assert native.knn_sums(*args) == kernel_numpy.knn_sums(*args)


def test_a_forest_without_trees_sums_to_zero() -> None:
    none = np.zeros((LEAVES - 1, 0), np.int64)
    shape = np.zeros(len(SHAPE), np.int64)
    assert native.forest_sums(shape, none, none, none, np.zeros((0, LEAVES, 2), np.int64)) == (0, 0)


def test_tables_of_the_wrong_size_are_an_error() -> None:
    buckets, shape = np.array([0, 7]), np.zeros(3, np.int64)
    with pytest.raises(ValueError, match="weights"):
        native.sum_weights(buckets, 1, np.zeros((7, 3), np.int32))
    with pytest.raises(ValueError, match="measures"):
        native.mahalanobis(shape, shape, np.zeros(2), np.zeros((3, 3), np.int64))
    split = np.array([[3]])
    with pytest.raises(ValueError, match="forest"):
        native.forest_sums(shape, split, split, split, np.zeros((1, 2, 2), np.int64))
    rows, table, knn = np.zeros(7, np.uint16), np.zeros((1, DIMENSIONS), np.int16), TRAINED._knn
    for args in ((buckets, rows, table), (buckets[:1], rows + np.uint16(1), table)):
        with pytest.raises(ValueError, match="latent space"):
            native.latent_point(*args)
    for point in (b"", bytes(2 * DIMENSIONS + 2)):
        with pytest.raises(ValueError, match="kNN"):
            native.knn_sums(point, knn._points, knn._labels)
    with pytest.raises(ValueError, match="kNN"):
        native.knn_sums(bytes(2 * DIMENSIONS), knn._points[1:], knn._labels)
    # One number more than a whole number of rows.
    with pytest.raises(ValueError, match="kNN"):
        native.knn_sums(bytes(2 * DIMENSIONS), knn._points[:1], np.zeros(2 * BLOCK + 1, np.int32))
    known, *others = ARTIFACT.novelty._index
    for index in ((known[:7], *others), (known, others[0][:-1], *others[1:]), (known, *others[:-1], others[-1][:-1])):
        with pytest.raises(ValueError, match="index"):
            native.nearest(buckets, 1, index, POSTINGS, CANDIDATES)
    none, texts = np.zeros(0, np.uint32), np.zeros(1, np.uint32)
    nothing = (none, texts, np.zeros(0, np.uint16), none, texts, none, np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="index"):
        native.nearest(buckets[:0], 0, nothing, POSTINGS, CANDIDATES)
