"""How often the interval that people's labels correct has the truth in it, and how wide it is: simulated judges that
are kind to the student, hard on it, or neither, on answers of which people prefer the teacher's rarely.

    python -m tests.bench.labels [--seeds 200] [--out docs/benchmarks/labels.md]

The truth is taken from half a million other pairs, of which the people's
opinion is known. Judges err where the answers are close, and there they also contradict themselves more often when the
order of the answers changes, which is what `breakeven label` chooses pairs by.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breakeven.gateway.road.choosing import chosen, size
from breakeven.router.corrected import Case, corrected
from breakeven.router.statistics import Interval, retained

Array = NDArray[np.float64]
PAIRS = 1000
LABELS = (30, 100)
LOSSES = (0.02, 0.1)
# Judges: name, the share of verdicts that are wrong, and the direction of the mistakes.
JUDGES = (("kind", 0.3, 1), ("hard", 0.3, -1), ("either way", 0.1, 0))
_TRUTH = 1_000_000


class World(NamedTuple):
    """Pairs: what people say (1: the student's answer is better, 0, -1), both scores, and whether the judge says the
    same in both orders; `equal`: the two texts are. `weight`: one over the probability of having been compared.
    """

    people: Array
    student: Array
    teacher: Array
    consistent: NDArray[np.bool_]
    equal: NDArray[np.bool_]
    weight: Array


class Row(NamedTuple):
    """One line of the table: shares of the seeds, and mean widths."""

    scorer: str
    loss: float
    labels: int
    truth: float
    covered: float
    width: float
    corrected_covered: float
    corrected_width: float
    chosen_covered: float
    chosen_width: float


def world(rng: np.random.Generator, count: int, loss: float, wrong: float, lean: int, *, graded: bool) -> World:
    """Pairs of a world in which people prefer the teacher's answer with probability `loss`, the student's with a
    quarter of it, and a judge is wrong with probability `wrong`, in direction `lean`; 0: either.
    """
    equal = rng.random(count) < 0.3
    drawn = rng.random(count)
    people = np.where(drawn < loss, -1.0, np.where(drawn < 1.25 * loss, 1.0, 0.0)) * ~equal
    # A wrong verdict is five times as likely on answers that are close.
    close = rng.random(count) < 0.3
    mistaken = (rng.random(count) < np.minimum(1.0, wrong / 2.2 * np.where(close, 5.0, 1.0))) & ~equal
    towards = np.full(count, float(lean)) if lean else rng.choice([-1.0, 1.0], count)
    judged = np.where(mistaken, np.clip(people + towards, -1.0, 1.0), people)
    # What is close was compared four times as often.
    weight = np.where(rng.random(count) < np.where(close, 1.0, 0.25), 1.0, 0.0) * np.where(close, 1.0, 4.0)
    if not graded:
        every = World(people, 1.0 + np.minimum(judged, 0.0), np.ones(count), equal | True, equal, weight)
    else:
        consistent = (rng.random(count) > np.where(close, 0.6, 0.05)) | equal
        teacher = np.where(equal, 1.0, rng.uniform(0.6, 0.9, count))
        # Verdicts that contradict each other are a tie.
        student = teacher + np.where(consistent, judged * rng.uniform(0.02, 0.1, count), 0.0)
        every = World(people, student, teacher, consistent, equal, weight)
    return World(*(one[weight > 0.0] for one in every))


def truth(of: World) -> float:
    """The share of the teacher's quality that is kept if a person's preference, where the judge has another, is worth
    the judge's mean difference.
    """
    by = of.student - of.teacher
    found = by != 0.0
    typical = np.abs(by[found]).mean()
    full = (by == 0.0) & (of.teacher >= 1.0) & (of.people > 0.0)
    same = full | (np.sign(by) == of.people)
    lost = of.weight @ np.where(same, by, typical * of.people)
    return float(1.0 + lost / (of.weight @ of.teacher))


def measured(seeds: int, labels: int, loss: float, judge: tuple[str, float, int], *, graded: bool) -> Row:
    """The coverage and the widths over so many seeds."""
    kind, wrong, lean = judge
    true = truth(world(np.random.default_rng(0), _TRUTH, loss, wrong, lean, graded=graded))
    hits, widths = np.zeros(3), np.zeros(3)
    for seed in range(seeds):
        rng = np.random.default_rng(1000 + seed)
        found = World(*(one[:PAIRS] for one in world(rng, 4 * PAIRS, loss, wrong, lean, graded=graded)))
        scores = list(zip(found.student.tolist(), found.teacher.tolist(), found.weight.tolist(), strict=True))
        flags = zip(found.consistent.tolist(), found.equal.tolist(), strict=True)
        sizes = [size(*one, consistent=same, same_text=equal) for one, (same, equal) in zip(scores, flags, strict=True)]
        plain = retained(scores)
        by_lot, by_size = (_labelled(rng, found, np.array(one), labels) for one in ([1.0] * PAIRS, sizes))
        for index, interval in enumerate((plain, by_lot, by_size)):
            assert interval is not None
            hits[index] += interval.low <= true <= interval.high
            widths[index] += interval.high - interval.low
    shares, mean = hits / seeds, widths / seeds
    name = f"{'judge' if graded else 'checker'}, {kind}, wrong {wrong:.0%}"
    return Row(name, loss, labels, true, *(float(one) for pair in zip(shares, mean, strict=True) for one in pair))


def table(seeds: int) -> list[Row]:
    """All rows."""
    return [
        measured(seeds, labels, loss, judge, graded=graded)
        for graded in (True, False)
        for judge in JUDGES
        for loss in LOSSES
        for labels in LABELS
    ]


def _labelled(rng: np.random.Generator, found: World, sizes: Array, labels: int) -> Interval | None:
    """The corrected interval with labels for pairs that are chosen in proportion to their sizes."""
    priorities = rng.random(PAIRS) / sizes
    order = np.argsort(priorities)
    asked, threshold = set(order[:labels].tolist()), float(priorities[order[labels]])
    names = {1.0: "student", 0.0: "tie", -1.0: "teacher"}
    columns = (found.student, found.teacher, found.weight, found.people, sizes)
    cases = [
        Case(student, teacher, weight, names[said] if index in asked else None, chosen(of, threshold))
        for index, (student, teacher, weight, said, of) in enumerate(
            zip(*(one.tolist() for one in columns), strict=True)
        )
    ]
    made = corrected(cases)
    return None if made is None else made.retained


_FOUND = """\
From one run of `python -m tests.bench.labels --seeds {seeds} --out docs/benchmarks/labels.md`: how often the 95%
interval of the share of the teacher's quality has the truth in it, and its mean width, over {seeds} simulated sets of
{pairs:,} compared pairs. The truth comes from about half a million other pairs of which the people's opinion is
known, and which the estimator does not see.

Scorers are wrong on the given share of verdicts, kind to the student, hard on it, or either way; five times as often
where the answers are close. There a judge also contradicts itself in 60% of pairs when the order of the answers
changes, else in 5%, and such a verdict is a tie. Three of ten pairs have equal texts. Close answers were compared
four times as often as others, and weigh a quarter."""
_MEANING = """\
*By lot* is `breakeven road audit`, *chosen* is `breakeven label`. With 30 labels intervals are wide, and cover more
than 95%: a few labels without a contradiction do not show that there is none. What `label` gains depends on how well
the judge's contradictions of itself, ties and equal texts tell where it errs: with {most} labels {gain:.0%} of the
width on average."""
_HEAD = (
    "| scorer | people prefer the teacher's | labels | truth | scores alone | width | labels by lot | width "
    "| labels chosen | width |"
)


def page(rows: list[Row], seeds: int) -> str:
    """The page of the documentation."""
    most = max(row.labels for row in rows)
    gain = float(np.mean([1.0 - row.chosen_width / row.corrected_width for row in rows if row.labels == most]))
    table = [_HEAD, f"| --- |{' ---: |' * 9}", *(_line(row) for row in rows)]
    parts = ["# Labels of people", _FOUND.format(seeds=seeds, pairs=PAIRS), "\n".join(table)]
    return "\n\n".join([*parts, _MEANING.format(most=most, gain=gain)]) + "\n"


def _line(row: Row) -> str:
    cells = [f"{cover:.1%} | {width:.4f}" for cover, width in zip(row[4::2], row[5::2], strict=True)]
    return f"| {row.scorer} | {row.loss:.0%} | {row.labels} | {row.truth:.2%} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = page(table(options.seeds), options.seeds)
    print(text, end="")
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
