"""Fitting the latent semantic space of the kNN part (latent semantic analysis, Deerwester et al., 1990)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from breakeven.router.features.extract import Features
from breakeven.router.features.kernel_numpy import DIMENSIONS, WORD_BUCKETS
from breakeven.router.model import neighbours
from breakeven.router.model.tables import Tables

# Word n-grams in fewer texts say too little about the similarity of texts.
_RARE = 8
# The largest entry of the table, which is int16. Points are scaled to a fixed length, so that only ratios matter.
_LARGEST = 32767.0


def fit_space(features: Sequence[Features], idf: NDArray[np.float64], seed: int) -> Tables:
    """The arrays of a `neighbours.LatentSpace`, fitted to the features of n texts.

    A truncated singular value decomposition of the idf-weighted word unigrams and bigrams, each text normalised to
    length one. `idf` (BUCKETS,) is the inverse document frequency of each bucket. Has no terms where the texts share
    too few n-grams.
    """
    buckets = [item.buckets[: item.word_end] for item in features]
    count = np.bincount(np.concatenate(buckets), minlength=WORD_BUCKETS)
    # The most frequent ones; of equally frequent ones the lowest bucket.
    terms = np.argsort(-count, kind="stable")[: neighbours.MAX_TERMS]
    terms = np.sort(terms[count[terms] >= _RARE])
    if len(terms) <= DIMENSIONS:
        return neighbours.empty_tables()
    column = np.full(WORD_BUCKETS, -1)
    column[terms] = np.arange(len(terms))
    known = [own[column[own] >= 0] for own in buckets]
    ends = np.concatenate([[0], np.cumsum([len(own) for own in known])])
    every = np.concatenate(known)
    matrix = normalize(csr_matrix((idf[every], column[every], ends), shape=(len(features), len(terms))))
    found = TruncatedSVD(DIMENSIONS, random_state=seed).fit(matrix).components_.T * idf[terms][:, None]
    table = np.rint(found * (_LARGEST / np.abs(found).max())).astype(np.int16)
    return {**neighbours.empty_tables(), "space_terms": terms.astype(np.uint32), "space_table": table}
