"""Chooses the inner loops of a decision: the compiled ones where they were built at installation, else those in numpy.

Both give the same whole numbers to the bit; the compiled ones are several times as fast.
"""

from __future__ import annotations

from importlib import import_module

try:
    _chosen = import_module("breakeven.router.features._kernel")
except ImportError:
    _chosen = import_module("breakeven.router.features.kernel_numpy")

COMPILED = _chosen.__name__ == "breakeven.router.features._kernel"

ngrams, count_characters, sum_weights = _chosen.ngrams, _chosen.count_characters, _chosen.sum_weights
forest_sums, mahalanobis, nearest = _chosen.forest_sums, _chosen.mahalanobis, _chosen.nearest
latent_point, knn_sums = _chosen.latent_point, _chosen.knn_sums
