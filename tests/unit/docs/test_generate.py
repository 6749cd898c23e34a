"""The reference in docs/ says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from breakeven.gateway.config.schema import Config
from breakeven.gateway.wire.headers import REASONS
from breakeven.router.policy import Reason
from docs.generate import pages

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["config.md", "cli.md", "metrics.md", "headers.md"])
def test_the_committed_page_is_the_generated_one(name: str) -> None:
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == pages()[name], (
        "run: python -m docs.generate"
    )


def test_every_reason_is_explained() -> None:
    assert {name for name, _ in REASONS} == set(Reason)


def test_the_config_of_the_readme_is_valid() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = readme.split("```yaml\n", 1)[1].split("```", 1)[0]
    config = Config.model_validate(yaml.safe_load(example))
    assert config.student.model == "my-student"
