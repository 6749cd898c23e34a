"""The files at the top of the repository: their links resolve, their YAML is what its readers expect."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_every_link_to_a_file_resolves(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    assert [target for target in targets if not (ROOT / target).is_file()] == []


def test_links_of_the_site_to_the_repository_resolve() -> None:
    """Links to files outside of docs/ are absolute; mkdocs checks only those inside."""
    base = re.escape("https://github.com/breakeven-gateway/breakeven/blob/main/")
    for path in (ROOT / "docs").rglob("*.md"):
        for target in re.findall(rf"\({base}([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (ROOT / target).is_file(), (path, target)


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    records = {page for page in pages if re.match(r"contributing/decisions/\d", page)}
    assert pages - records == set(re.findall(r"[\w/-]+\.md$", text, re.MULTILINE))


def test_the_site_loads_nothing_from_another_host() -> None:
    config: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert config["theme"]["font"] is False
    assert "repo_url" not in config, "the theme would ask the repository's host on every page view"
    assert all("://" not in asset for asset in config["extra_css"] + config.get("extra_javascript", []))
    for path in (ROOT / "docs").rglob("*.md"):
        assert "```mermaid" not in path.read_text(encoding="utf-8"), "the theme loads Mermaid from another host"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_jobs_with_steps_and_few_rights(path: Path) -> None:
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    # YAML 1.1 reads the key `on` as true.
    assert {"name", True, "permissions", "jobs"} <= set(found)
    assert found["permissions"] == {"contents": "read"}
    for name, job in found["jobs"].items():
        assert job["runs-on"], name
        assert job["timeout-minutes"] <= 120, name
        assert all(("uses" in step) != ("run" in step) for step in job["steps"]), name
        assert set([job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])) <= set(found["jobs"])


def test_the_workflows_are_there() -> None:
    assert {path.name for path in WORKFLOWS} == {"ci.yml", "release.yml"}


def test_the_readme_names_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in extras if f"[{name}]" not in readme] == []


def test_the_licence_is_the_whole_text() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n" in text
    assert "END OF TERMS AND CONDITIONS" in text
