"""Plays outcome files as traffic, from cold, and writes what came out into docs/benchmarks/road.md and road.json.

`python -m tests.bench.road ../shared/data`

The same options give the same figures. `--parts promise --runs 10` takes a few minutes.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

# Small matrices: with more threads each run takes longer. Read when numpy is loaded.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

from tests.bench.road import figures, page  # noqa: E402
from tests.bench.road.baselines import baselines  # noqa: E402
from tests.bench.road.source import MOST, Source, read  # noqa: E402

ROOT = Path(__file__).parents[3]
# With a target for the labels to the first proposal; then the other files with both scores.
TARGETED = ("routellm_mmlu", "routellm_gsm8k", "bbh_openllm", "ifeval_openllm")
OTHERS = ("mmlu_pro", "alpaca_eval", "zeroeval_gsm", "zeroeval_math_l5", "zeroeval_crux", "bfcl_202408")
RANKED = ("routellm_mmlu", "bbh_openllm", "ifeval_openllm")
DRIFTS = (("routellm_mmlu", "bbh_openllm"), ("ifeval_openllm", "routellm_gsm8k"))
PARTS = ("promise", "ranking", "baselines", "training", "drift", "many", "others")
# Sources with more than 3,000 rows to train on.
MANY = ("routellm_mmlu", "bbh_openllm")
_ALL = 1_000_000
# Rows of each source with the real training: the scores of all are computed for every router.
_REAL_ROWS = 1000


def main() -> None:
    """Run the figures and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the outcome rows")
    parser.add_argument("--runs", type=int, default=50, help="runs of each source and floor with the fast stand-in")
    parser.add_argument("--other-runs", type=int, default=10, help="the same for the sources without a target")
    parser.add_argument("--real", type=int, default=1, help="runs of each source and floor with the real training")
    parser.add_argument("--requests", type=int, default=5000, help="requests of a run")
    parser.add_argument("--draws", type=int, default=5, help="draws of the labels to rank by")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--split", default="test", choices=("dev", "test"), help="rows that rankings are measured on")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks", help="folder of the page")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, help="others stay as road.json says")
    parser.add_argument("--minilm", nargs=3, metavar=("PYTHON", "MODEL", "TOKENIZER"), help="for the part baselines")
    options = parser.parse_args()
    found = page.read(options.out)
    for name in options.parts:
        found.parts[name] = []
        for one in _part(name, options):
            print(one, flush=True)
            found.parts[name].append(one)
            page.write(options.out, found)


def _part(name: str, options: argparse.Namespace) -> Iterator[page.Part]:
    data, workers, requests = options.data, options.workers, options.requests
    sources = functools.partial(_sources, data)
    if name == "promise":
        yield from figures.promise(sources(TARGETED), options.runs, requests, real=False, workers=workers)
    elif name == "others":
        yield from figures.promise(sources(OTHERS), options.other_runs, requests, real=False, workers=workers)
    elif name == "ranking":
        few = [(source, 300, options.draws) for source in RANKED]
        yield from figures.rankings(data, options.split, few, workers)
    elif name == "many":
        many = [(source, labels, 1) for source in MANY for labels in (3000, _ALL)]
        yield from figures.rankings(data, options.split, many, workers)
    elif name == "baselines" and options.minilm:
        yield from baselines(data, options.split, RANKED, 300, options.draws, options.minilm)
    elif name == "training":
        smaller = sources(TARGETED, _REAL_ROWS)
        yield from figures.promise(smaller, options.real, requests, real=True, workers=workers)
    elif name == "drift":
        pairs = [sources(pair, _REAL_ROWS) for pair in DRIFTS]
        yield from figures.drift(pairs, options.real, requests, workers=workers)


def _sources(data: Path, names: Sequence[str], most: int = MOST) -> list[Source]:
    return [read(data / f"{name}.jsonl.gz", most) for name in names]


if __name__ == "__main__":
    main()
