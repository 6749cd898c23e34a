"""The generated parts of docs/ say what the code does, and each part of the code that needs a text has one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml

from breakeven.gateway.config.schema import Config
from breakeven.gateway.errors import Cause
from breakeven.gateway.ledger.schema import metadata
from breakeven.gateway.wire.headers import REASONS
from breakeven.router.policy import Reason
from docs import chart_schema
from docs.error_reference import ADVICE, raised
from docs.generate import pages, with_causes
from docs.http_reference import document
from docs.ledger_reference import COLUMNS, TABLES, meaning
from docs.rooms import images

ROOT = Path(__file__).parents[3]
generated = cache(pages)


@pytest.mark.parametrize(
    "name",
    ["config.md", "cli.md", "metrics.md", "headers.md", "errors.md", "ledger-schema.md", "http-api.md", "clients.md"],
)
def test_the_committed_page_is_the_generated_one(name: str) -> None:
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == generated()[name], (
        "run: python -m docs.generate"
    )


def test_the_committed_schema_of_the_chart_is_the_generated_one() -> None:
    committed = ROOT / "deploy" / "helm" / "breakeven" / "values.schema.json"
    assert committed.read_text(encoding="utf-8") == chart_schema.schema(), "run: python -m docs.generate"


def test_every_generated_page_is_checked_and_committed() -> None:
    assert {path.name for path in (ROOT / "docs" / "reference").iterdir()} == set(generated())


@pytest.mark.parametrize("name", ["rooms-gateway.svg", "rooms-models.svg"])
def test_the_committed_drawing_is_the_generated_one(name: str) -> None:
    assert (ROOT / "docs" / "images" / name).read_text(encoding="utf-8") == images()[name], (
        "run: python -m docs.generate"
    )


def test_the_committed_table_of_causes_is_the_generated_one() -> None:
    page = (ROOT / "docs" / "how-to" / "upstream-failures.md").read_text(encoding="utf-8")
    assert with_causes(page) == page, "run: python -m docs.generate"
    assert page.count("\n| `") >= len(Cause)


def test_every_reason_is_explained() -> None:
    assert {name for name, _ in REASONS} == set(Reason)


def test_every_table_and_column_of_the_ledger_is_explained() -> None:
    columns = [column for table in metadata.tables.values() for column in table.columns]
    assert [str(column) for column in columns if not meaning(column)] == []
    assert set(TABLES) == set(metadata.tables)
    names = {str(column) for column in columns} | {column.name for column in columns}
    assert set(COLUMNS) <= names, "texts about columns that are gone"


def test_errors_are_found_in_the_sources() -> None:
    codes = {error.code for error in raised()}
    assert {"rate_limit_exceeded", "invalid_json", "stream_truncated", "upstream_auth"} <= codes
    assert set(ADVICE) <= codes, "advice about codes that are gone"


def test_the_http_reference_names_every_path() -> None:
    page = generated()["http-api.md"]
    for path, operations in document()["paths"].items():
        for method in operations:
            assert f"## {method.upper()} {path}\n" in page


def test_the_config_of_the_readme_is_valid() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = readme.split("```yaml\n", 1)[1].split("```", 1)[0]
    config = Config.model_validate(yaml.safe_load(example))
    assert config.student.model == "my-student"
