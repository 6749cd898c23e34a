"""Tests that need torch run in this process if it is installed, else through `test_in_training_environment.py`."""

from __future__ import annotations

from tests.support import training

WITH_TORCH = ["test_losses.py", "test_templates.py", "test_train.py", "test_turns.py"]
collect_ignore = ["test_in_training_environment.py"] if training.HERE else WITH_TORCH
