"""The vLLM server of the student with a real vLLM."""

from __future__ import annotations

import httpx2

from breakeven.models.serving.vllm_server import Student, check_python, command, environment
from tests.support import real
from tests.support.processes import free_port


def test_a_real_vllm_starts_serves_and_stops() -> None:
    model, python = real.smollm2(), check_python(str(real.vllm_python()))
    port = free_port()
    argv = command(model, name="s", port=port, cpu=True, max_model_len=1024, python=python)
    with Student(argv, environment(True), host="127.0.0.1", port=port) as student:
        assert student.max_model_len == 1024
        body = {"model": "s", "prompt": "Hello", "max_tokens": 3}
        usage = httpx2.post(f"{student.base_url}/completions", json=body, timeout=100).json()["usage"]
        assert usage["completion_tokens"] == 3
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert student.poll() is None
