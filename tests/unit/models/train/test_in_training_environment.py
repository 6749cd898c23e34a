"""Runs the tests that need torch in the interpreter for training, if this one has no torch."""

from __future__ import annotations

import pytest

from tests.support import training

_SECONDS = 1500


@pytest.mark.timeout(_SECONDS + 60)
@pytest.mark.parametrize(
    "name", ["bad_models", "losses", "memory", "memory_options", "packing", "templates", "train", "turns"]
)
def test_the_training_tests_pass_in_the_training_environment(name: str) -> None:
    training.run(f"tests/unit/models/train/test_{name}.py", _SECONDS)


@pytest.mark.timeout(_SECONDS + 60)
@pytest.mark.parametrize(("name", "package"), [("trl", "trl"), ("qlora", "bitsandbytes")])
def test_the_tests_of_methods_with_a_package_of_their_own_pass(name: str, package: str) -> None:
    training.run(f"tests/unit/models/train/test_{name}.py", _SECONDS, (package,))
