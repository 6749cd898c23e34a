"""Which method makes the best student of the support desk at equal cost: each has the same CPU seconds of training.

    OMP_NUM_THREADS=1 PYTHON -m tests.bench.methods OUT --base SMOLLM2_DIR --teacher DESK/model [--seconds 200]

PYTHON has the extras `distill` and `trl`. DESK/model is the teacher with open weights: SmolLM2 fine-tuned on the desk
by `python -m breakeven.models.examples.run_support DESK --steps 300 …`. Students are trained by `breakeven distill
train` in processes of their own, whose CPU time is read at each step. The number of steps is what the seconds buy by a
trial of a few steps. Each student then answers the same held-out requests, and a program checks the answers. What is
done is kept in OUT, so that a rerun goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from breakeven.models.examples.support import cases, is_common
from breakeven.router.statistics import proportion
from tests.bench import desk_answers

ROWS, HELD_OUT = 500, 200
# What the teacher was trained on, of which the students' rows are a part, and what none of them has seen.
_KNOWN, _KNOWN_SEED, _HELD_OUT_SEED = 2000, 7, 8
# Training requests that a student is asked to find pairs for dpo.
_ASKED = 120
_TRIAL_STEPS = 4
_STEP = re.compile(r"step (\d+) of \d+: loss")
_RATE = ("--learning-rate", "5e-4")


class Method(NamedTuple):
    """A way of training: options of `distill train`; `teacher`: give it the teacher's weights; `rows`: a file in OUT;
    `after`: the student of a method that it begins with, at half of the cost, instead of the base.
    """

    name: str
    options: tuple[str, ...]
    teacher: bool = False
    rows: str = "train.jsonl"
    after: str = ""


HALF = "sft for half of the time"
METHODS = (
    Method(HALF, ("--method", "sft", *_RATE)),
    Method("sft", ("--method", "sft", *_RATE)),
    Method("logit", ("--method", "logit", *_RATE), teacher=True),
    Method("on-policy", ("--method", "on-policy", "--learning-rate", "1e-4"), teacher=True),
    Method("half sft, then dpo", ("--method", "dpo", "--learning-rate", "1e-5"), rows="pairs.jsonl", after=HALF),
    Method("half sft, then on-policy", ("--method", "on-policy", "--learning-rate", "1e-4"), teacher=True, after=HALF),
    Method("gold", ("--method", "gold", "--learning-rate", "1e-4"), teacher=True),
    Method("sft --lora 16", ("--method", "sft", "--lora", "16", "--learning-rate", "1e-3")),
    Method("logit, stored top 5", ("--method", "logit", *_RATE), rows="stored.jsonl"),
    Method("feature", ("--method", "feature", *_RATE), teacher=True),
    Method("qlora", ("--method", "qlora",)),
)  # fmt: skip


class Run(NamedTuple):
    """A finished training: its steps, and the CPU seconds that they took."""

    steps: int
    seconds: float


class Refused(Exception):
    """The command does not do this here; the message is its own."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and measure what is missing in OUT, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.methods", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=Path, required=True, help="model directory that students begin as")
    parser.add_argument("--teacher", type=Path, required=True, help="model directory of the fine-tuned teacher")
    parser.add_argument("--seconds", type=float, default=200.0, help="CPU seconds of training for each method")
    parser.add_argument("--batch", type=int, default=8, help="rows of a step")
    parser.add_argument("--dtype", default="float32", help="float32, or bfloat16 if the processor computes in it")
    parser.add_argument("--methods", nargs="*", default=[one.name for one in METHODS], help="only these")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    found = [bench.kept("the base", lambda: bench.measured("the base", options.base))]
    found.append(bench.kept("the teacher", lambda: bench.measured("the teacher", options.teacher)))
    for method in METHODS:
        if method.name in options.methods:
            found.append(bench.kept(method.name, lambda method=method: bench.trained(method)))  # type: ignore[misc]
            print(table(found[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(found))


class Bench:
    """The support desk's rows, and what was trained on them in a folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        known = cases(_KNOWN, seed=_KNOWN_SEED)
        seen = {case.prompt for case in known}
        self.options = options
        self.out: Path = options.out
        self.known = known[:ROWS]
        self.held_out = [case for case in cases(2 * HELD_OUT, _HELD_OUT_SEED) if case.prompt not in seen][:HELD_OUT]
        desk_answers.write(self.out / "train.jsonl", map(desk_answers.row, self.known))

    def kept(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was measured under a name, now or in an earlier run."""
        path = self.folder(name).with_suffix(".json")
        if not path.exists():
            shutil.rmtree(self.folder(name), ignore_errors=True)
            path.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def folder(self, name: str) -> Path:
        """Where the student of a method lies."""
        return self.out / re.sub(r"\W+", "-", name)

    def measured(self, name: str, model: Path, **more: Any) -> dict[str, Any]:
        """A model's right answers to the held-out requests, beside what else is known of it."""
        said = desk_answers.answers(model, self.held_out)
        scores = [desk_answers.right(case, text) for case, text in zip(self.held_out, said, strict=True)]
        groups = {
            "all": scores,
            "common": [s for s, c in zip(scores, self.held_out, strict=True) if is_common(c.kind)],
            "unusual": [s for s, c in zip(scores, self.held_out, strict=True) if not is_common(c.kind)],
        }
        return {"name": name, **more, "right": {group: [sum(one), len(one)] for group, one in groups.items()}}

    def trained(self, method: Method) -> dict[str, Any]:
        """Train by a method for as many steps as the seconds are worth, and measure the student."""
        spent, start = 0.0, self.options.base
        if method.after:
            before = self.kept(method.after, lambda: self.trained(named(method.after)))
            spent, start = before["seconds"], self.folder(method.after)
        if method.rows == "pairs.jsonl":
            spent += self._pairs(start)
        if method.rows == "stored.jsonl" and not (self.out / method.rows).exists():
            stored = desk_answers.with_distributions(self.options.teacher, self.known)
            desk_answers.write(self.out / method.rows, stored)
        budget = (self.options.seconds / 2 if method.name == HALF else self.options.seconds) - spent
        out = self.folder(method.name)
        try:
            trial = self._train(method, start, out.with_name(f"{out.name}-trial"), _TRIAL_STEPS)
            shutil.rmtree(out.with_name(f"{out.name}-trial"))
            run = self._train(method, start, out, steps_for(budget, trial))
            if not 0.85 <= run.seconds / budget <= 1.15:  # Answers that students generate change in length.
                shutil.rmtree(out)
                run = self._train(method, start, out, steps_for(budget, run))
        except Refused as refused:
            return {"name": method.name, "refused": str(refused)}
        return self.measured(method.name, out, steps=run.steps, seconds=spent + run.seconds, before=spent)

    def _pairs(self, student: Path) -> float:
        """Write pairs for dpo from a student's answers to training requests; the CPU seconds that it took."""
        start = time.process_time()
        asked = self.known[:_ASKED]
        desk_answers.write(self.out / "pairs.jsonl", desk_answers.pairs(asked, desk_answers.answers(student, asked)))
        return time.process_time() - start

    def _train(self, method: Method, start: Path, out: Path, steps: int) -> Run:
        options = self.options
        line: list[object] = [sys.executable, "-P", "-m", "breakeven.gateway.cli", "distill", "train"]
        line += [self.out / method.rows, "--out", out, "--student", start, "--cpu", "--max-steps", steps]
        line += ["--batch-size", options.batch, "--max-length", 256, "--completion-tokens", desk_answers.LONGEST]
        # A line is logged at each step, and nothing saved before the end.
        line += ["--eval-every", 5, "--save-every", steps + 1, "--dtype", options.dtype, *method.options]
        line += ["--teacher", options.teacher] if method.teacher else []
        return timed([str(part) for part in line], steps)


def timed(line: Sequence[str], steps: int) -> Run:
    """Run a training of so many steps; the CPU seconds of the steps, without what it takes to start.

    Raises Refused where it says that it does not do this, and RuntimeError where it fails.
    """
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    said, seen = [""], []
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env) as child:
        assert child.stderr is not None
        for text in child.stderr:
            said = [*said[-40:], text.strip()]
            if found := _STEP.match(text):
                seen.append((int(found[1]), _cpu_seconds(child.pid)))
    code = child.returncode
    if code == 2:
        raise Refused(said[-1])
    if code:
        raise RuntimeError("\n".join(said))
    (first, before), (last, after) = seen[0], seen[-1]
    return Run(steps, (after - before) / (last - first) * steps)


def steps_for(seconds: float, run: Run) -> int:
    """How many steps the seconds are worth, by what those of a run took; at least two."""
    return max(2, round(seconds / (run.seconds / run.steps)))


def named(name: str) -> Method:
    """The method of a name."""
    return next(one for one in METHODS if one.name == name)


def table(found: Sequence[dict[str, Any]]) -> str:
    """What was measured, as a table in Markdown; shares with Wilson's 95% interval."""
    lines = ["| student | steps | CPU seconds | right | common | unusual |", "| --- | --- | --- | --- | --- | --- |"]
    for one in found:
        if "refused" in one:
            lines.append(f"| {one['name']} | | | not run: {one['refused'].removeprefix('breakeven: ')} | | |")
            continue
        share = proportion(*one["right"]["all"])
        common, unusual = (count / of for count, of in (one["right"][name] for name in ("common", "unusual")))
        seconds = f"{one['seconds']:.0f}" if "seconds" in one else ""
        lines.append(
            f"| {one['name']} | {one.get('steps', '')} | {seconds} | {share.value:.1%} ({100 * share.low:.1f} to "
            f"{100 * share.high:.1f}) | {common:.0%} | {unusual:.0%} |"
        )
    return "\n".join(lines)


def _cpu_seconds(process: int) -> float:
    """The CPU seconds that a running process has used so far."""
    import psutil

    used = psutil.Process(process).cpu_times()
    return float(used.user + used.system)


if __name__ == "__main__":
    main()
