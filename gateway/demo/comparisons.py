"""Comparisons of the demo: how many answers are compared, and waiting until all of them are."""

from __future__ import annotations

import time

import httpx2
from prometheus_client.parser import text_string_to_metric_families

# Enough for an interval that is narrow beside the savings; fewer than 50 give no figure at all.
_WANTED_PAIRS = 120
# Of the student's answers once it routes; most of the teacher's work is done by then.
_SAMPLE = 0.25
_SCORER = "breakeven.models.recorded:score"
_CONCURRENCY = 16
_POLL_SECONDS = 0.2
_QUIET_POLLS = 5
_LIMIT_SECONDS = 120.0


def section(prompts: int, to_student: int) -> dict[str, object]:
    """The config section `road` for a run of `prompts`, of which the student will answer `to_student`."""
    return {
        "sample": min(1.0, _WANTED_PAIRS / to_student) if to_student else 0.0,
        **_section(prompts),
    }


def section_from_observe(prompts: int, floor: float) -> dict[str, object]:
    """The config section `road` for a run of `prompts` that begins at stage `observe`, and routes without asking once
    the `floor` can be promised.
    """
    return {"advance": "auto", "floor": floor, "sample": _SAMPLE, **_section(prompts)}


def _section(prompts: int) -> dict[str, object]:
    return {"scorer": _SCORER, "max_queue": prompts, "concurrency": _CONCURRENCY}


def wait(url: str) -> None:
    """Return once the gateway at `url` compares nothing any more, at the latest after two minutes."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    quiet, before = 0, -1.0
    while quiet < _QUIET_POLLS and time.monotonic() < deadline:
        compared, running = _state(httpx2.get(f"{url}/metrics", timeout=30.0).text)
        quiet = quiet + 1 if compared == before and not running else 0
        before = compared
        time.sleep(_POLL_SECONDS)


def _state(metrics: str) -> tuple[float, float]:
    """The number of drawn requests that are done with, and of calls to upstreams that are running."""
    found = {"breakeven_comparisons_total": 0.0, "breakeven_in_flight": 0.0}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name in found:
                found[sample.name] += sample.value
    return found["breakeven_comparisons_total"], found["breakeven_in_flight"]
