"""Which of several students to train on: their short runs compared, each evaluated on the same held-out rows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from breakeven.models.errors import DistillError
from breakeven.router.outcomes import OutcomeError, OutcomeRow, read
from breakeven.router.statistics import Interval, Z, retained


class Run(NamedTuple):
    """A student after a short run, as it was evaluated. `seconds`: the median of an answer. From its model directory,
    None where that was not given: `base`, `parameters`, `steps` and `training_seconds`.
    """

    name: str
    rows: dict[str, OutcomeRow]
    seconds: float | None
    base: str | None = None
    parameters: int | None = None
    steps: int | None = None
    training_seconds: float | None = None


class Ranked(NamedTuple):
    """A run with its `retained` quality on the rows that all have, and the difference of its mean score to that of the
    best one, None for the best; `worse`: whether that is shown; `rows_needed`: about how many rows would show it, None
    where it is shown or there is no difference.
    """

    run: Run
    retained: Interval
    difference: Interval | None
    worse: bool
    rows_needed: int | None


class Comparison(NamedTuple):
    """The runs by what they retain, the best first; the number of `rows` that all have; and the run to take: the one
    with the fewest parameters, or else the fastest, of those that are not shown to be worse than the best.
    """

    rows: int
    ranked: list[Ranked]
    take: Ranked


def load(evaluation: Path, model: Path | None) -> Run:
    """A run from the folder of its evaluation, and the directory of its model. Raises DistillError."""
    try:
        rows = read([evaluation / "outcomes.jsonl"])
    except OutcomeError as error:
        raise DistillError(f"{evaluation}: no evaluation of `breakeven distill evaluate`: {error}") from None
    report = _json(evaluation / "report.json")
    run = Run(evaluation.name, {row.id: row for row in rows}, report.get("student", {}).get("seconds_p50"))
    if model is None:
        return run
    facts = _json(model / "training.json")
    stage = (facts.get("stages") or [{}])[-1]
    return run._replace(
        base=facts.get("student"),
        parameters=stage.get("parameters"),
        steps=stage.get("steps"),
        training_seconds=facts.get("seconds"),
    )


def compare(runs: Sequence[Run]) -> Comparison:
    """Rank the runs on the rows that all have. Raises DistillError where these are none, or two runs have one name."""
    if len({run.name for run in runs}) < len(runs):
        raise DistillError("two evaluations have the same folder name; give each student a folder of its own name")
    common = [id for id in runs[0].rows if all(id in run.rows for run in runs)]
    if len({run.rows[id].text for id in common for run in runs}) > len({runs[0].rows[id].text for id in common}):
        raise DistillError("the evaluations are of different rows; evaluate all students on the same file")
    if not common:
        raise DistillError("the evaluations have no row in common; evaluate all students on the same file")
    kept: dict[str, Interval] = {}
    for run in runs:
        found = retained([(run.rows[id].student_score, run.rows[id].teacher_score, 1.0) for id in common])
        if found is None:
            raise DistillError(f"{run.name}: the teacher scores 0 on all rows; there is nothing to retain")
        kept[run.name] = found
    order = sorted(runs, key=lambda run: (-kept[run.name].value, _size(run)))
    best = order[0]
    ranked = [_ranked(run, best, kept[run.name], common) for run in order]
    take = min((one for one in ranked if not one.worse), key=lambda one: _size(one.run))
    return Comparison(len(common), ranked, take)


def lines(found: Comparison) -> Iterator[str]:
    """The comparison as a Markdown table and sentences."""
    yield "| student | parameters | steps | training, s | an answer, s | retained | against the best |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for one in found.ranked:
        run = one.run
        size = "" if run.parameters is None else f"{run.parameters / 1e6:.0f} M"
        cells = [run.name, size, *(_cell(value) for value in (run.steps, run.training_seconds, run.seconds))]
        yield f"| {' | '.join([*cells, _percent(one.retained), _difference(one)])} |"
    yield f"\nOn the {found.rows} rows that all of them answered."
    best, take = found.ranked[0].run.name, found.take.run.name
    if take == best:
        yield f"Take {take}: it retains most."
    else:
        yield f"Take {take}: the smallest of those that are not shown to be worse than {best}."
    open_ones = [one for one in found.ranked[1:] if one.rows_needed is not None]
    if open_ones:
        most = max(open_ones, key=lambda one: one.rows_needed or 0)
        yield f"Not told apart by these rows: about {most.rows_needed:,} would tell {most.run.name} from {best}."
    yield "Short runs say which student learns faster; train two that are near each other longer before you choose."


def to_dict(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON values."""
    students = [
        {
            **{name: value for name, value in one.run._asdict().items() if name != "rows"},
            "retained": one.retained._asdict(),
            "difference": None if one.difference is None else one.difference._asdict(),
            "worse": one.worse,
            "rows_needed": one.rows_needed,
        }
        for one in found.ranked
    ]
    return {"rows": found.rows, "students": students, "take": found.take.run.name}


def _ranked(run: Run, best: Run, kept: Interval, common: Sequence[str]) -> Ranked:
    if run is best:
        return Ranked(run, kept, None, False, None)
    scores = [run.rows[id].student_score - best.rows[id].student_score for id in common]
    value = float(np.mean(scores))
    # Two differences are added, as in `router.statistics.retained`: else a few equal ones had an interval of no width.
    padded = np.array([*scores, 1.0, -1.0])
    spread = float(padded.std(ddof=1))
    half, centre = Z * spread / math.sqrt(len(padded)), float(padded.mean())
    found = Interval(value, min(value, centre - half), max(value, centre + half))
    worse = found.high < 0.0
    needed = None if worse or value == 0.0 else math.ceil((Z * float(np.std(scores, ddof=0)) / value) ** 2)
    return Ranked(run, kept, found, worse, None if needed is None else max(needed, len(common) + 1))


def _size(run: Run) -> tuple[float, float]:
    return run.parameters or math.inf, run.seconds or math.inf


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DistillError(f"{path}: cannot be read; is the run finished?") from None
    return found if isinstance(found, dict) else {}


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def _percent(one: Interval) -> str:
    return f"{one.value:.1%} ({one.low:.1%} to {one.high:.1%})"


def _difference(one: Ranked) -> str:
    if one.difference is None:
        return "best"
    value, low, high = (100 * part for part in one.difference)
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"
