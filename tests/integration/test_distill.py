"""Runs `distill_with_vllm.py`, training and a real vLLM, in an interpreter that has torch."""

from __future__ import annotations

import pytest

from tests.support import training

_SECONDS = 1500


@pytest.mark.timeout(_SECONDS + 60)
def test_training_and_vllm_together() -> None:
    training.run("tests/integration/distill_with_vllm.py", _SECONDS)
