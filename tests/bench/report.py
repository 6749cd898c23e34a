"""Writes the benchmark's figures as JSON, Markdown and a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def write(figures: dict[str, Any], out: Path, command: str) -> None:
    """Write bench.json, bench.md and bench.png to the directory `out`; `command` is the one that was run."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (out / "bench.md").write_text("\n".join(_lines(figures, command)) + "\n", encoding="utf-8")
    _draw(figures, out / "bench.png")


def _lines(figures: dict[str, Any], command: str) -> list[str]:
    arms = figures["arms"]
    lines = [
        "# Bench",
        "",
        f"From one run of `{command}`: medians of {figures['rounds']} interleaved rounds",
        f"of {figures['seconds']:g} s each.",
        f"Machine: {figures['machine']}; every gateway as one worker on one core, load and upstream on the others.",
        *(f"Left out: {reason}." for reason in figures["missing"]),
        "",
        "| arm | version | what it does per request |",
        "| --- | --- | --- |",
        *(f"| {name} | {arm['version']} | {arm['does']} |" for name, arm in arms.items()),
        "",
    ]
    kinds = list(next(iter(arms.values()))["workloads"])
    for kind in kinds:
        lines += [f"## {kind}", "", *_table(arms, kind), ""]
    lines += ["## Latency at half of each arm's own ceiling, 200-token JSON", "", *_latency(arms), ""]
    lines += ["## What a request costs at low, half and full load, 200-token JSON", "", *_loads(arms, kinds[0]), ""]
    lines += ["## Two workers, 200-token JSON", "", *_workers(figures["workers"]), ""]
    lines += ["## At rest", "", "| arm | start, s | memory, MB |", "| --- | ---: | ---: |"]
    lines += [f"| {n} | {a['start_seconds']:.2f} | {a['rest_mb']:.0f} |" for n, a in arms.items() if n != "direct"]
    return lines


def _table(arms: dict[str, Any], kind: str) -> list[str]:
    streamed = any(arm["workloads"][kind].get("events") for arm in arms.values())
    unit, count = ("event", "events_per_second") if streamed else ("request", "requests_per_second")
    lines = [
        f"| arm | {unit}s/s | CPU us per {unit} | memory, MB | longest gap p99, ms | failures |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, arm in arms.items():
        of = arm["workloads"][kind]
        speed, cpu = of.get(count, 0.0), of.get(f"cpu_us_per_{unit}", 0.0)
        gap = f"{of['longest_gap_ms']:.0f}" if "longest_gap_ms" in of else ""
        lines.append(f"| {name} | {speed:,.0f} | {cpu:,.1f} | {of['memory_mb']:.0f} | {gap} | {of['failures']:.0f} |")
    return lines


def _latency(arms: dict[str, Any]) -> list[str]:
    lines = [
        "| arm | rate, requests/s | p50, ms | p95, ms | p99, ms | added p50 | added p95 | added p99 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, arm in arms.items():
        of = arm["latency"]
        plain = " | ".join(f"{of[f'p{p}_ms']:.2f}" for p in (50, 95, 99))
        added = " | ".join(f"{of[f'added_p{p}_ms']:.2f}" if f"added_p{p}_ms" in of else "" for p in (50, 95, 99))
        lines.append(f"| {name} | {of['rate']:,.0f} | {plain} | {added} |")
    return lines


def _loads(arms: dict[str, Any], kind: str) -> list[str]:
    """CPU microseconds of a request at each load, and their ratios to the first peer's that has all."""
    costs = {
        name: [of["cpu_us_per_request"] for of in (arm["low"], arm["latency"], arm["workloads"][kind])]
        for name, arm in arms.items()
        if name != "direct"
    }
    low = next(iter(arms.values()))["low"]["rate"]
    lines = [
        f"| arm | at rest, us a second | {low:.0f} requests/s | half of its ceiling | full load |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, of in costs.items():
        lines.append(
            f"| {name} | {arms[name]['low']['rest_us']:,.0f} | " + " | ".join(f"{us:,.0f}" for us in of) + " |"
        )
    if {"Breakeven", "vllm-router"} <= set(costs):
        ratios = [ours / theirs for ours, theirs in zip(costs["Breakeven"], costs["vllm-router"], strict=True)]
        lines.append("| Breakeven to vllm-router | | " + " | ".join(f"{ratio:.1f}" for ratio in ratios) + " |")
    return [
        *lines,
        "",
        "CPU microseconds of a request, less what the gateway uses in the same time at rest. At low load the process",
        "is woken for each request and once more for its answer, and finds the caches emptied by others.",
    ]


def _workers(of: dict[str, dict[str, float]]) -> list[str]:
    one, two, apart = (of[name]["cpu_us_per_request"] for name in ("1", "2", "1 + 1"))
    lines = ["| workers | requests/s | CPU us per request | busiest process, share | failures |"]
    lines += ["| --- | ---: | ---: | ---: | ---: |"]
    for count, run in of.items():
        speed, cpu, share = run["requests_per_second"], run["cpu_us_per_request"], run["busiest_share"]
        lines.append(f"| {count} | {speed:,.0f} | {cpu:,.1f} | {share:.2f} | {run['failures']:.0f} |")
    alone, both = (of[name]["paced_cpu_us_per_request"] for name in ("1", "2"))
    return [
        *lines,
        "",
        f"At {of['1']['paced_rate']:,.0f} requests/s for each worker, which leave the cores idle for much of the time,",
        f"a request costs {alone:,.0f} us with one worker and {both:,.0f} with two: by CPU, two workers do",
        f"{2 * alone / both:.2f} times the requests of one.",
        "",
        f"Under full load {2 * one / two:.2f} times, two gateways that share nothing (1 + 1) {2 * one / apart:.2f}.",
        "Load and upstream run on the same machine: requests/s show scaling only where they have cores of their own.",
    ]


def _draw(figures: dict[str, Any], path: Path) -> None:
    arms = {name: arm for name, arm in figures["arms"].items() if name != "direct"}
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, kind, unit in zip(
        figure.subplots(1, 2), ("200-token JSON", "200 events"), ("request", "event"), strict=True
    ):
        values = [arm["workloads"][kind].get(f"cpu_us_per_{unit}", 0.0) for arm in arms.values()]
        bars = axes.barh(list(arms), [max(1.0, value) for value in values], color="#0b6e4f")
        axes.bar_label(bars, [f"{value:,.0f}" if value else "not measured" for value in values], padding=3)
        axes.set_xscale("log")
        # From 1 on in both, with room for the figure behind the longest bar.
        axes.set_xlim(1, 6 * max(values))
        axes.set_xlabel(f"CPU time per {unit}, microseconds (logarithmic)")
        axes.set_title(f"{kind}: less is better")
        axes.invert_yaxis()
    figure.savefig(path, format="png")
