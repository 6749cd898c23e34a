"""The input of the linear models: n-grams, mean word vectors and shape measures of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from breakeven.router.features.extract import SHAPE_UNIT, Features
from breakeven.router.features.kernel_numpy import BUCKETS
from breakeven.router.training.words import word_vectors

# Scale of the standardised shape measures in the design: small, so that regularisation holds them back.
SHAPE_SCALE = 0.1
# Scale of the mean word vectors in the design, chosen on dev rows.
WORD_SCALE = 1.0


class Design:
    """The input of the linear models for n texts: `columns` (n, width) of n-grams, mean word vectors and shape
    measures, whose means are `mean` (len(SHAPE),). The word vectors have the scale `word_scale`.
    """

    def __init__(self, features: Sequence[Features], idf: NDArray[np.float64], word_scale: float = WORD_SCALE) -> None:
        self._word_scale = word_scale
        matrix = _matrix(features, idf)
        # Buckets that no row has get a weight of zero, and are left out of the regression.
        self._used = np.flatnonzero(np.asarray(matrix.sum(axis=0)).ravel())
        shape = np.array([item.shape for item in features]) / SHAPE_UNIT
        self.mean, deviation = shape.mean(axis=0), shape.std(axis=0)
        self._factor = SHAPE_SCALE / np.where(deviation > 1e-9, deviation, np.inf)
        means = word_vectors().means(matrix) * word_scale
        measures = csr_matrix((shape - self.mean) * self._factor)
        self.columns = hstack([matrix[:, self._used], csr_matrix(means), measures]).tocsr()

    def unfold(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weights of the n-grams (heads, BUCKETS), those of the word vectors among them, and of the shape measures
        (heads, len(SHAPE)), from the weights of the columns.
        """
        of_grams, of_words, of_shape = np.split(weights, [len(self._used), -len(self._factor)], axis=1)
        grams = word_vectors().unfold(of_words * self._word_scale)
        grams[:, self._used] += of_grams
        return grams, of_shape * self._factor


def idf_of(features: Sequence[Features]) -> NDArray[np.float64]:
    """The smoothed inverse document frequency of each bucket, (BUCKETS,): ln((1 + n) / (1 + df)) + 1."""
    count = np.zeros(BUCKETS)
    for item in features:
        count[item.buckets] += 1
    idf: NDArray[np.float64] = np.log((1 + len(features)) / (1 + count)) + 1
    return idf


def _matrix(features: Sequence[Features], idf: NDArray[np.float64]) -> csr_matrix:
    """The n-gram columns of the design, (n, BUCKETS): idf weights, normalised to length one for word and byte n-grams
    each.
    """
    buckets, values, rows = [], [], []
    for number, item in enumerate(features):
        for family in (item.buckets[: item.word_end], item.buckets[item.word_end :]):
            weight = idf[family]
            buckets.append(family)
            values.append(weight / max(1e-9, float(np.sqrt(weight @ weight))))
            rows.append(np.full(len(family), number))
    where = (np.concatenate(rows), np.concatenate(buckets).astype(np.int64))
    return csr_matrix((np.concatenate(values), where), shape=(len(features), BUCKETS))
