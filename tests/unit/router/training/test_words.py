"""Word vectors: folding their weights into the words gives the same sums, and similar words share what was learned."""

from __future__ import annotations

import numpy as np

from breakeven.router.features.extract import extract
from breakeven.router.features.kernel_numpy import BUCKETS
from breakeven.router.training.design import Design
from breakeven.router.training.words import word_vectors


def test_the_weights_of_the_columns_unfold_to_the_same_sums() -> None:
    texts = ["Prove that the root is irrational.", "hello there", "add milk to my list", "prove it"]
    features = [extract(text) for text in texts]
    idf = np.random.default_rng(1).uniform(1.0, 3.0, BUCKETS)
    design = Design(features, idf)
    weights = np.random.default_rng(2).normal(size=(2, design.columns.shape[1]))
    grams, shape = design.unfold(weights)
    for number, item in enumerate(features):
        found = shape @ (item.shape / (1 << 16) - design.mean)
        for family in (item.buckets[: item.word_end], item.buckets[item.word_end :]):
            weight = idf[family] / np.sqrt(idf[family] @ idf[family])
            found = found + grams[:, family] @ weight
        np.testing.assert_allclose(found, weights @ design.columns[number].toarray().ravel(), rtol=1e-9, atol=1e-9)


def test_words_of_similar_meaning_have_similar_vectors() -> None:
    table = word_vectors()

    def vector(word: str) -> np.ndarray:
        found = table.vectors[np.searchsorted(table.buckets, extract(word).buckets[0])]
        return found / np.linalg.norm(found)

    for one, near, far in (
        ("theorem", "lemma", "pizza"),
        ("thanks", "thank", "compiler"),
        ("integral", "derivative", "banana"),
    ):
        assert vector(one) @ vector(near) > vector(one) @ vector(far)
