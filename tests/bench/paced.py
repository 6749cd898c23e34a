"""Measures gateways at fixed rates of requests: their latency beside the direct connection's, and what a request costs.

At low rates a request costs more than at full load: for each the process is woken, and finds the caches emptied.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

import uvloop

from tests.bench import load
from tests.bench.arms import Arm, others_paused

# What a request still causes when it is answered: the ledger's batch.
_SETTLE_SECONDS = 0.5
# What full load before has left to do, such as records that wait for the ledger, ends within these windows.
_REST_SECONDS, _WINDOWS = 2.0, 3
Figures = dict[str, float]


def measure(
    arms: Sequence[Arm],
    requests: Mapping[str, bytes],
    levels: Sequence[Mapping[str, float]],
    seconds: float,
    rounds: int,
) -> list[dict[str, Figures]]:
    """For each level the medians over the rounds, by the name of the arm. A level has the rate of each arm, in requests
    a second; `requests` are the arms' requests as bytes, of JSON answers.

    The figures are latencies in milliseconds, those added to the direct connection's at the same rate where that is
    among the arms, and the CPU microseconds of a request, without what the arm uses in the same time at rest.
    """
    direct = next((arm for arm in arms if arm.name == "direct"), None)
    runs: list[dict[str, list[Figures]]] = [{arm.name: [] for arm in arms} for _ in levels]
    rest = {arm.name: _rest(arm, arms) for arm in arms}
    for _ in range(rounds):
        for level, found in zip(levels, runs, strict=True):
            for arm in arms:
                rate = level[arm.name]
                with others_paused(arm, arms):
                    run = _run(arm, requests[arm.name], rate, seconds, rest[arm.name])
                    if direct is not None and arm is not direct:
                        beside = _run(direct, requests[direct.name], rate, seconds, 0.0)
                        run |= {f"added_p{p}_ms": run[f"p{p}_ms"] - beside[f"p{p}_ms"] for p in (50, 95, 99)}
                found[arm.name].append(run)
    return [{name: median(of) | {"rest_us": rest[name]} for name, of in found.items()} for found in runs]


def _rest(arm: Arm, arms: Sequence[Arm]) -> float:
    """The CPU microseconds that the arm uses in a second without requests, in the quietest of some windows."""
    if arm.process is None:
        return 0.0
    used = []
    with others_paused(arm, arms):
        for _ in range(_WINDOWS):
            before = arm.cpu_seconds()
            time.sleep(_REST_SECONDS)
            used.append(arm.cpu_seconds() - before)
    return 1e6 * min(used) / _REST_SECONDS


def _run(arm: Arm, data: bytes, rate: float, seconds: float, rest: float) -> Figures:
    before, started = arm.cpu_seconds(), time.monotonic()
    result = uvloop.run(load.fixed(arm.port, data, rate=rate, seconds=seconds))
    if arm.process is not None:
        time.sleep(_SETTLE_SECONDS)
    used = 1e6 * (arm.cpu_seconds() - before) - rest * (time.monotonic() - started)
    found = {f"p{percent}_ms": 1000 * quantile(result.latencies, percent / 100) for percent in (50, 95, 99)}
    return found | {"rate": rate, "failures": result.failures, "cpu_us_per_request": used / max(1, result.requests)}


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of the values is; NaN for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def median(runs: Sequence[Figures]) -> Figures:
    """The median of each figure over the runs that have it."""
    return {name: statistics.median(run[name] for run in runs if name in run) for name in runs[0]}
