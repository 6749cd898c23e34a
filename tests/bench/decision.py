"""Measures the time of a routing decision with the compiled kernel and with the one in numpy.

`python -m tests.bench.decision outcomes.jsonl…` takes the prompts of outcome rows with 700 to 900 characters, which is
about 200 tokens, and prints microseconds of wall time: the median over the prompts of each one's fastest of 6 runs,
alternating between both kernels. The prompts differ, so that caches are as cold as in real traffic.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from breakeven.router.features import kernel
from breakeven.router.model.artifact import load
from breakeven.router.outcomes import read, texts

_ROUNDS = 6
_MOST = 200
_FUNCTIONS = (
    "ngrams",
    "count_characters",
    "sum_weights",
    "forest_sums",
    "mahalanobis",
    "nearest",
    "latent_point",
    "knn_sums",
)


def compare(prompts: Sequence[str]) -> dict[str, float]:
    """The median microseconds of a decision, by kernel. Restores the kernel that was in use."""
    artifact = load()
    used = {name: getattr(kernel, name) for name in _FUNCTIONS}
    kinds = {"numpy": import_module("breakeven.router.features.kernel_numpy")}
    if kernel.COMPILED:
        kinds["compiled"] = import_module("breakeven.router.features._kernel")
    fastest = {kind: [float("inf")] * len(prompts) for kind in kinds}
    try:
        for _ in range(_ROUNDS):
            for kind, module in kinds.items():
                vars(kernel).update({name: getattr(module, name) for name in _FUNCTIONS})
                for index, prompt in enumerate(prompts):
                    began = time.perf_counter()
                    artifact.assess(prompt)
                    fastest[kind][index] = min(fastest[kind][index], time.perf_counter() - began)
    finally:
        vars(kernel).update(used)
    return {kind: 1e6 * statistics.median(times) for kind, times in fastest.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: prints one line for each kernel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outcomes", type=Path, nargs="+")
    wanted = parser.parse_args(arguments)
    prompts = [text for text in texts(read(wanted.outcomes)) if 700 <= len(text) <= 900][:_MOST]
    for kind, microseconds in compare(prompts).items():
        print(f"{kind}: {microseconds:.0f} us a decision, {len(prompts)} prompts")


if __name__ == "__main__":
    main()
