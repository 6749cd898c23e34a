"""Runs training and a real vLLM together, in an interpreter that has torch."""

from __future__ import annotations

import pytest

from tests.support import training

_SECONDS = 1500


@pytest.mark.timeout(_SECONDS + 60)
@pytest.mark.parametrize("name", ["distill", "reasoning"])
def test_training_and_vllm_together(name: str) -> None:
    training.run(f"tests/integration/{name}_with_vllm.py", _SECONDS)
