"""Another router as the start of training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from breakeven.router.features.extract import Features
from breakeven.router.model import forest
from breakeven.router.model.difficulty import Difficulty
from breakeven.router.model.heads import HEADS
from breakeven.router.model.tables import Tables

# Scale of the standardised prior in the design: large, so that regularisation hardly holds it back.
_PRIOR_SCALE = 3.0


class Prior:
    """Another classifier as prior: its log-odds are columns of the design, one for each head, and its weights are
    folded into the result. Its kNN table is not used: it is of other traffic, and would take time at each decision.
    Of a prior that only ranks by difficulty, the one head that it has is a column for both heads.
    """

    def __init__(self, prior: Difficulty | None, features: Sequence[Features]) -> None:
        self._prior = prior
        self._source = [0, 0] if prior is not None and prior.ranks else [0, 1]
        logits = np.zeros((len(features), HEADS))
        if prior is not None:
            logits = np.array([prior.logits_without_neighbours(item) for item in features])[:, self._source]
        self._mean, deviation = logits.mean(axis=0), logits.std(axis=0)
        self._scale = _PRIOR_SCALE / np.where(deviation > 1e-9, deviation, np.inf)
        self.columns = (logits - self._mean) * self._scale

    def fold_in(
        self,
        weight: NDArray[np.float64],
        grams: NDArray[np.float64],
        shape: NDArray[np.float64],
        bias: NDArray[np.float64],
        trees: Tables,
        mean: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], Tables]:
        """Adds the prior, multiplied by the `weight` (HEADS,) of its columns, to the weights, bias and trees of the new
        one.
        """
        if self._prior is None:
            return grams, shape, bias, trees
        weight = weight * self._scale
        of, source = self._prior.weights, self._source
        # The prior's shape measures are centred on its own means.
        bias = bias + weight * (of.bias[source] - self._mean + of.shape[source] @ (mean - of.mean))
        more = self._prior.forest.scaled_tables(weight, source)
        grams, shape = grams + weight[:, None] * of.grams[source], shape + weight[:, None] * of.shape[source]
        return grams, shape, bias, forest.concatenate(trees, more)
