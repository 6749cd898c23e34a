"""The results of a soak test, and its checks."""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.bench.soak_upstream import Count

# Open files beyond those at the start: the journal and the database are opened with the first request.
SPARE = 4


@dataclass
class Sample:
    seconds: float
    rss: int
    fds: int
    in_flight: float
    tasks: float


@dataclass
class Outcome:
    """The figures of a soak test."""

    minutes: float
    sent: int
    ended: Counter[str]
    samples: list[Sample]
    at_rest: Sample
    at_end: Sample
    counted: dict[str, Count]
    stored: dict[str, Count]
    cost: tuple[int, int]
    requests: int
    twice: int

    @property
    def settled(self) -> list[Sample]:
        """The samples after minute 2, or after the first fifth of a short run."""
        return [sample for sample in self.samples if sample.seconds >= min(120.0, self.minutes * 12)]

    @property
    def spread(self) -> float:
        """The range of the memory in the settled samples, as a share of its first value."""
        sizes = [sample.rss for sample in self.settled]
        return (max(sizes) - min(sizes)) / sizes[0]

    @property
    def checks(self) -> list[tuple[str, str, bool]]:
        """The checks: what is required, what was found, and whether it is met."""
        counted = {name: vars(count) for name, count in self.counted.items()}
        stored = {name: vars(count) for name, count in self.stored.items()}
        rest, end = self.at_rest, self.at_end
        paid, due = self.cost
        return [
            ("requests in flight after the load", f"{end.in_flight:.0f}", end.in_flight == 0),
            ("tasks, before and after", f"{rest.tasks:.0f}, {end.tasks:.0f}", end.tasks <= rest.tasks),
            ("open files and sockets, before and after", f"{rest.fds}, {end.fds}", end.fds <= rest.fds + SPARE),
            ("memory after minute 2, largest minus smallest", f"{self.spread:.1%}", self.spread <= 0.05),
            ("requests sent, and in the ledger", f"{self.sent}, {self.requests}", self.sent == self.requests),
            ("requests twice in the ledger", str(self.twice), self.twice == 0),
            ("attempts and tokens: ledger equals upstreams", _said(counted, stored), counted == stored),
            ("teacher's cost in picodollars: ledger, from counts", f"{self.cost[0]}, {self.cost[1]}", paid == due),
            ("answers that broke off unexplained", str(self.ended["broken"]), self.ended["broken"] == 0),
        ]


def _said(counted: dict[str, Any], stored: dict[str, Any]) -> str:
    if counted == stored:
        return "; ".join(f"{name} {', '.join(f'{k} {v}' for k, v in count.items())}" for name, count in counted.items())
    return f"upstreams {counted}, ledger {stored}"


def page(outcome: Outcome, command: str) -> str:
    """The results as a Markdown page."""
    ended = ", ".join(f"{count} {name}" for name, count in sorted(outcome.ended.items()))
    lines = [
        "# Soak",
        "",
        f"From one run of `{command}`: {outcome.minutes:g} minutes, {outcome.sent} requests, half of them streamed, "
        f"5% aborted by the client and 5% met by a fault of the upstream. Ends as the clients saw them: {ended}. "
        "An upstream's fault before the first byte falls back and ends ok.",
        "",
        f"Machine: {os.cpu_count()} cores, Python {platform.python_version()}, shared with other work; one worker, "
        "with the load and both upstreams beside it.",
        "",
        "| what must hold | found | holds |",
        "| --- | --- | --- |",
        *(f"| {what} | {found} | {'yes' if holds else '**no**'} |" for what, found, holds in outcome.checks),
        "",
        "| minute | memory, MB | open files | in flight | tasks |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    step = max(1, len(outcome.samples) // 20)
    lines += [
        f"| {one.seconds / 60:.1f} | {one.rss / 1e6:.1f} | {one.fds} | {one.in_flight:.0f} | {one.tasks:.0f} |"
        for one in [outcome.at_rest, *outcome.samples[step - 1 :: step], outcome.at_end]
    ]
    return "\n".join(lines) + "\n"
