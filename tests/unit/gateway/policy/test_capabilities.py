"""What a student can do, by its config and its server."""

from __future__ import annotations

import pytest

from breakeven.gateway.config.student import Student
from breakeven.gateway.policy.capabilities import contradictions, declared, limited
from breakeven.gateway.upstreams.reported import Reported


def student(**fields: object) -> Student:
    return Student.model_validate({"base_url": "http://127.0.0.1:1/v1", "model": "small", **fields})


def test_a_student_reads_and_writes_text_and_calls_functions_by_default() -> None:
    found = declared(student())
    assert (found.modalities, found.outputs, found.tools, found.context_window) == ({"text"}, {"text"}, True, None)
    assert found.tool_types == {"function", "custom", "local_shell", "shell", "apply_patch"}


@pytest.mark.parametrize(
    ("window", "reported", "used"), [(None, 100, 100), (50, 100, 50), (200, 100, 100), (200, None, 200)]
)
def test_the_smaller_context_window_counts(window: int | None, reported: int | None, used: int) -> None:
    config, server = declared(student(context_window=window)), Reported(reported, None)
    assert limited(config, server).context_window == used
    assert limited(config, None).context_window == window
    assert bool(contradictions(config, server)) is (window == 200 and reported == 100)


def test_kinds_of_input_that_the_server_does_not_read_do_not_count() -> None:
    config = declared(student(modalities=["text", "image", "video"]))
    server = Reported(None, frozenset({"image", "pdf"}))
    assert limited(config, server).modalities == {"text", "image"}
    (sentence,) = contradictions(config, server)
    assert "student.modalities has video" in sentence
