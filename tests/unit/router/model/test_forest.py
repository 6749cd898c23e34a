"""The forest at serving time gives the outputs of scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from breakeven.router.features.extract import SHAPE
from breakeven.router.model import forest
from breakeven.router.model.forest import LEAVES, TREES, Forest
from breakeven.router.model.tables import Tables


def grown(leaves: int, seed: int = 0) -> tuple[RandomForestRegressor, np.ndarray]:
    rng = np.random.default_rng(seed)
    # Few distinct values, so that many measures are equal to a threshold.
    # Only the first 18 measures vary.
    shape = np.zeros((500, len(SHAPE)), np.int64)
    shape[:, :18] = rng.integers(0, 1 << 18, (500, 18)) >> rng.integers(0, 17, 18) << 2
    one = np.sin(shape[:, 0] / 3e4) + (shape[:, 1] > shape[:, 2]) + rng.normal(0, 0.1, 500)
    target = np.stack([one, rng.normal(0, 0.1, 500) - (shape[:, 3] > shape[:, 4])], axis=1)
    return RandomForestRegressor(20, max_leaf_nodes=leaves, random_state=seed).fit(shape, target), shape


def tables_of(trees: RandomForestRegressor, *factors: float) -> Tables:
    return forest.from_trees([tree.tree_ for tree in trees.estimators_], np.array(factors))


@pytest.mark.parametrize("leaves", [2, 3, 17, LEAVES])
def test_outputs_equal_those_of_scikit_learn(leaves: int) -> None:
    trees, shape = grown(leaves)
    ours = Forest(tables_of(trees, 1.0, 3.0))
    assert np.array([ours(row) for row in shape]) == pytest.approx(trees.predict(shape) * [1.0, 3.0], abs=1e-6)


def test_forests_are_empty_concatenated_and_scaled() -> None:
    trees, shape = grown(8)
    tables = tables_of(trees, 1.0, 1.0)
    assert Forest(forest.empty_tables())(shape[0]) == (0.0, 0.0)
    assert Forest(forest.concatenate(forest.empty_tables(), tables))(shape[0]) == Forest(tables)(shape[0])
    twice = Forest(forest.concatenate(tables, Forest(tables).scaled_tables(np.array([-0.5, 2.0]))))
    student, teacher = Forest(tables)(shape[0])
    assert twice(shape[0]) == pytest.approx((student / 2, teacher * 3), abs=1e-5)


def test_a_forest_used_repeatedly_as_prior_stays_small() -> None:
    trees, shape = grown(8)
    tables = tables_of(trees, 1.0, 1.0)
    many = tables
    for _ in range(9):
        many = forest.concatenate(many, tables)
    kept = Forest(Forest(many).scaled_tables(0.5))
    assert len(kept.scaled_tables()["forest_values"]) == TREES
    for head in (0, 1):
        says, said = np.array([[kept(row)[head], 5 * Forest(tables)(row)[head]] for row in shape]).T
        assert np.corrcoef(says, said)[0, 1] > 0.97
        assert says.mean() == pytest.approx(said.mean(), rel=0.05)


def test_a_tree_with_one_leaf_is_a_constant() -> None:
    trees = RandomForestRegressor(3, random_state=0).fit(np.zeros((10, len(SHAPE))), np.tile([2.5, -1.0], (10, 1)))
    ours = Forest(tables_of(trees, 1.0, 1.0))
    assert ours(np.full(len(SHAPE), 7)) == pytest.approx((2.5, -1.0))
