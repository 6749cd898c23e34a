"""Fitting the latent semantic space in which training prompts vote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from breakeven.router.features.extract import Features
from breakeven.router.features.kernel_numpy import DIMENSIONS, HALF
from breakeven.router.model import neighbours
from breakeven.router.model.tables import Tables

# Rarer words and pairs say nothing on how texts are like each other.
_RARE = 8
# The largest entry of the table. The point has a length of its own: only their ratio matters.
_LARGEST = 32767.0


def fit_space(features: Sequence[Features], idf: NDArray[np.float64], seed: int) -> Tables:
    """The arrays of a `votes.Space`: truncated singular value decomposition of idf-weighted words and pairs, each text
    of length one. `idf` (PLACES,). Without terms where the texts have too few in common.
    """
    places = [item.places[: item.words] for item in features]
    count = np.bincount(np.concatenate(places), minlength=HALF)
    # The most frequent ones; of those that are as frequent, the first.
    terms = np.argsort(-count, kind="stable")[: neighbours.TERMS]
    terms = np.sort(terms[count[terms] >= _RARE])
    if len(terms) <= DIMENSIONS:
        return neighbours.none()
    column = np.full(HALF, -1)
    column[terms] = np.arange(len(terms))
    known = [own[column[own] >= 0] for own in places]
    ends = np.concatenate([[0], np.cumsum([len(own) for own in known])])
    every = np.concatenate(known)
    matrix = normalize(csr_matrix((idf[every], column[every], ends), shape=(len(features), len(terms))))
    found = TruncatedSVD(DIMENSIONS, random_state=seed).fit(matrix).components_.T * idf[terms][:, None]
    table = np.rint(found * (_LARGEST / np.abs(found).max())).astype(np.int16)
    return {**neighbours.none(), "space_terms": terms.astype(np.uint32), "space_table": table}
