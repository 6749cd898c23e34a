"""Runs the tests that need torch in the interpreter for training, if this one has no torch."""

from __future__ import annotations

import pytest

from tests.support import training

_SECONDS = 1500


@pytest.mark.timeout(_SECONDS + 60)
@pytest.mark.parametrize("name", ["losses", "templates", "train", "turns"])
def test_the_training_tests_pass_in_the_training_environment(name: str) -> None:
    training.run(f"tests/unit/models/train/test_{name}.py", _SECONDS)
