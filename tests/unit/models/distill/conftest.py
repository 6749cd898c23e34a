"""Tests that need torch are collected where this interpreter has it; else `test_training.py` runs them."""

from __future__ import annotations

from tests import training

WITH_TORCH = ["test_distill_losses.py", "test_distill_train.py"]
collect_ignore = ["test_training.py"] if training.HERE else WITH_TORCH
