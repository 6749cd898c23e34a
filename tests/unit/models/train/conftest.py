"""Tests that need torch run in this process if it is installed, else through `test_in_training_environment.py`."""

from __future__ import annotations

from tests.support import training

WITH_TORCH = [
    "bad_models",
    "losses",
    "memory",
    "memory_options",
    "packing",
    "qlora",
    "templates",
    "train",
    "trl",
    "turns",
]
collect_ignore = ["test_in_training_environment.py"] if training.HERE else [f"test_{name}.py" for name in WITH_TORCH]
