"""The tests that need torch, where this interpreter has none: in the one that has."""

from __future__ import annotations

import pytest

from tests.support import training

_SECONDS = 1500


@pytest.mark.timeout(_SECONDS + 60)
@pytest.mark.parametrize("name", ["losses", "train"])
def test_in_the_environment_for_training(name: str) -> None:
    training.run(f"tests/unit/models/train/test_{name}.py", _SECONDS)
