"""Measures the artifact that ships: `python -m tests.bench.difficulty.measure ../shared/data --split test`.

Prints how well it orders the prompts of authors that it was not trained on, and the rates of novelty at .99 on everyday
prompts that are not in its reference, and on noise. AUROC of hard prompts (levels 3 and 4) against everyday ones (0
and 1), with 95% bootstrap intervals over prompts; "length matched" counts only pairs whose lengths differ by less than
40%. Other authors: level-5 questions of MATH and those of MMLU-Pro against the everyday prompts; and with `--hard` and
`--easy` any JSONL files with a `prompt` or `messages` in each row. Without the shared data only the written prompts and
made-up noise are measured.
"""

from __future__ import annotations

import argparse
import base64
import random
import string
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from breakeven.router import outcomes
from breakeven.router.evaluation.evaluate import auroc
from breakeven.router.model.artifact import Artifact, load
from breakeven.router.statistics import Interval, percentile_interval
from tests.bench.difficulty.build import everyday
from tests.bench.difficulty.prompts import DEV, TEST, Prompt, training, written

NOVEL = 0.99
# Pairs whose log lengths differ by less are of the same length.
_SAME_LENGTH = 0.35
_RESAMPLES = 300


def of_author(authors: Sequence[str]) -> list[Prompt]:
    """The prompts of these authors as they were written."""
    return [prompt for prompt in written() if prompt.author in authors]


def length_matched(score: np.ndarray, hard: np.ndarray, texts: Sequence[str]) -> float:
    """AUROC over the pairs of a hard and an everyday prompt of about the same length."""
    length = np.log([len(text) for text in texts])
    near = np.abs(length[hard][:, None] - length[~hard]) < _SAME_LENGTH
    above = (score[hard][:, None] > score[~hard]) + 0.5 * (score[hard][:, None] == score[~hard])
    return float((above * near).sum() / near.sum()) if near.any() else float("nan")


def ordering(shipped: Artifact, hard: Sequence[str], easy: Sequence[str]) -> dict[str, Interval]:
    """AUROC of hard against everyday prompts, of all pairs and of those of the same length."""
    texts = [*hard, *easy]
    score = np.array([shipped.assess(text).score for text in texts])
    label = np.arange(len(texts)) < len(hard)
    rng = np.random.default_rng(1)
    plain, matched = [], []
    for pick in [np.arange(len(texts)), *(rng.integers(0, len(texts), len(texts)) for _ in range(_RESAMPLES))]:
        plain.append(auroc(score[pick], label[pick]))
        matched.append(length_matched(score[pick], label[pick], [texts[i] for i in pick]))
    measures = {"AUROC": plain, "AUROC, length matched": matched}
    return {name: percentile_interval(values[0], np.array(values[1:])) for name, values in measures.items()}


def _compared(wanted: argparse.Namespace) -> Iterator[tuple[str, list[str], list[str]]]:
    """What is compared: its name, the hard prompts, and the everyday ones."""
    for name, authors in (("author to choose by", DEV), ("author of the test", TEST)):
        prompts = of_author(authors)
        yield name, [p.text for p in prompts if p.level >= 3], [p.text for p in prompts if p.level <= 1]
    usual = [row["prompt"] for row in everyday(wanted.data, held_out=True)]
    for name in ("zeroeval_math_l5", "mmlu_pro"):
        path = wanted.data / f"{name}.jsonl.gz"
        if usual and path.exists():
            yield (
                f"{name} ({wanted.split}) against everyday",
                outcomes.texts(outcomes.read([path], wanted.split)),
                usual,
            )
    if wanted.hard and wanted.easy:
        files = " ".join(path.name for path in wanted.hard), " ".join(path.name for path in wanted.easy)
        yield " against ".join(files), outcomes.read_texts(wanted.hard), outcomes.read_texts(wanted.easy)


def noise(count: int = 200) -> dict[str, list[str]]:
    """Texts that no person means: base64, random characters, and keys hit at random."""
    rng = random.Random(1)
    prompts = [prompt.text for prompt in training() if len(prompt.text) > 60]
    rows = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    return {
        "base64": [base64.b64encode(rng.choice(prompts)[:150].encode()).decode() for _ in range(count)],
        "random characters": [
            "".join(rng.choices(string.printable[:95], k=rng.randint(40, 150))) for _ in range(count)
        ],
        "keyboard mash": [
            " ".join("".join(rng.choices(rng.choice(rows), k=rng.randint(4, 11))) for _ in range(rng.randint(6, 15)))
            for _ in range(count)
        ],
    }


def novelty_rates(shipped: Artifact) -> dict[str, float]:
    """The share of each kind of noise whose novelty is at least NOVEL."""
    return {kind: _novel(shipped, texts) for kind, texts in noise().items()}


def _novel(shipped: Artifact, texts: Sequence[str]) -> float:
    return float(np.mean([(shipped.assess(text).novelty or 0.0) >= NOVEL for text in texts]))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--hard", type=Path, nargs="*")
    parser.add_argument("--easy", type=Path, nargs="*")
    wanted = parser.parse_args(arguments)
    shipped = load()
    lines = [f"Router `{shipped.hash}`.", "", "| prompts | measure | value |", "| --- | --- | --- |"]
    for name, hard, easy in _compared(wanted):
        for measure, (value, low, high) in ordering(shipped, hard, easy).items():
            lines.append(f"| {name} ({len(hard)}, {len(easy)}) | {measure} | {value:.3f} [{low:.3f}, {high:.3f}] |")
    lines += ["", f"| prompts | number | novel at {NOVEL} |", "| --- | --- | --- |"]
    rows = everyday(wanted.data, held_out=True)
    for name, english in (("everyday, English", True), ("everyday, 12 other languages", False)):
        texts = [row["prompt"] for row in rows if (row["language"] == "en") == english]
        if texts:
            lines.append(f"| {name} | {len(texts)} | {_novel(shipped, texts):.1%} |")
    lines += [f"| {kind} | {len(noise()[kind])} | {rate:.1%} |" for kind, rate in novelty_rates(shipped).items()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
