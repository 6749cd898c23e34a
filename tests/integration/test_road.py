"""From an empty folder: the stages pass by themselves, and what is handed over keeps the floor on fresh requests."""

from __future__ import annotations

from pathlib import Path

from tests.bench import support_desk


def test_the_support_desk_is_handed_over_and_keeps_its_floor(tmp_path: Path) -> None:
    found = support_desk.play(tmp_path)
    stages = [line.split()[1].rstrip(":") for line in found.log]
    assert stages[:2] == ["route", "watch"], found.log
    # A better router that goes live near the end begins at route again.
    assert found.stage in ("route", "watch"), found.log
    # Nothing was handed over before it was certified, and afterwards much of what this student knows.
    assert found.teacher_calls >= 300
    assert found.by_student > 0.15
    assert found.right >= support_desk.FLOOR
