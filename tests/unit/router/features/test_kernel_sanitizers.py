"""The compiled kernel has no warning and, under the address and undefined-behaviour sanitizers, no fault.

For longer: `python -m tests.attack artifact-kernel-sanitizers --seconds 600`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attack.artifacts import NoSanitizer, build, fuzz


@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_it_compiles_without_a_warning(tmp_path: Path, level: str) -> None:
    try:
        assert build(tmp_path, level).exists()
    except NoSanitizer as error:
        pytest.skip(str(error))


def test_mutated_tables_texts_and_artifacts_cause_no_fault_of_memory(tmp_path: Path) -> None:
    try:
        counts, said = fuzz(tmp_path, 10.0, seed=20261128)
    except NoSanitizer as error:
        pytest.skip(str(error))
    assert not said
    assert min(counts["calls"], counts["texts"], counts["artifacts"]) > 0
