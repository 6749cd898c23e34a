"""Fixtures that all tests share, and the rule for skips: with BREAKEVEN_CI=1 a skip is a failure."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import processes, real


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., processes.Gateway]]:
    """`gateway(student_url, teacher_url, env=…, routing={…}, …)`: a real gateway, ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(
            student: str, teacher: str, /, *, env: Mapping[str, str] | None = None, **sections: Mapping[str, Any]
        ) -> processes.Gateway:
            folder = tmp_path / f"gateway-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            config = processes.make_config(student, teacher, **sections)
            return stack.enter_context(processes.gateway(folder, config, env))

        yield start


@pytest.fixture(scope="session")
def vllm() -> Iterator[real.Vllm]:
    """A real vLLM with SmolLM2-135M-Instruct, one for the whole run."""
    with real.vllm() as server:
        yield server


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the outcome data, beside the checkout."""
    folder = processes.ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{real.SHARED} with the outcome data is not there")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _without_skips((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _without_skips((yield))


def _without_skips(report: Any) -> Any:
    """In CI everything that a test needs has been installed: a test that does not run hides a fault."""
    if os.environ.get("BREAKEVEN_CI") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if real.SHARED not in reason:
            report.outcome = "failed"
            report.longrepr = f"BREAKEVEN_CI=1 allows no skip. {reason}"
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadgroup`, files that need a real vLLM, or train, go to one worker, one after the other, and each
    other file goes whole to any worker. xdist's own groups have no effect with pytest 9.2, whose test ids it cannot
    change.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            name = nodeid.split("::", 1)[0]
            return "vllm" if _needs_vllm(config.rootpath / name) else name

    return ByFile(config, log)


@functools.cache
def _needs_vllm(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return any(word in text for word in ("vllm", "real_gateway", "client: openai", "training_python"))
