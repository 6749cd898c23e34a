"""Measures the router and writes the figures into docs/benchmarks/router.md.

`python -m tests.bench.router ../shared/data --split test`

The dev split is for development; the test split is only read for the published figures. Takes about ten minutes on an
idle machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from breakeven.router.evaluation.evaluate import Evaluation
from breakeven.router.model import artifact
from breakeven.router.statistics import Interval
from tests.bench import router_more as more
from tests.bench.router_tasks import Data, few_in_domain, few_labels, novelty, out_of_domain, routing

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks" / "router.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
MEASURES = ("APGR", "CPT(50)", "CPT(80)", "AUROC", "Brier", "ECE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the outcome rows")
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    parser.add_argument("--page", type=Path, default=PAGE, help="page whose figures are replaced")
    options = parser.parse_args()
    data = Data(options.data, options.split)
    text = "\n".join(figures(data))
    print(text)
    page = options.page.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    options.page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def figures(data: Data) -> Iterator[str]:
    """The lines of the page's figures in Markdown, section by section."""
    yield (
        f"Written by `python -m tests.bench.router ../shared/data --split {data.split}`, shipped router "
        f"`{artifact.load().hash}`. Intervals are 95% bootstrap intervals over prompts.\n"
    )
    yield "### Routing by the prompt\n"
    yield from table(("router", "rows", *MEASURES), _routing(routing(data)))
    yield "\nMMLU with 1,500 in-domain rows + chat, mean over five draws of the rows and its standard deviation: " + (
        ", ".join(f"{name} {mean:.3f} ({spread:.3f})" for name, (mean, spread) in few_in_domain(data).items()) + "."
    )
    far = out_of_domain(data)
    yield (
        f"\nOut of domain (trained on MMLU and chat, tested on GSM8K): ECE {far['ECE']:.3f}, without the novelty "
        f"signal {far['ECE without novelty']:.3f}; APGR {far['APGR']:.3f}: no better than chance, as for every router "
        "that reads only the prompt.\n"
    )
    yield "### Few labels\n"
    yield "AUROC with 300 rows, mean of five draws, and with a router trained on another file as prior.\n"
    yield from table(
        ("300 rows of", "prior from", "without", "with prior"),
        ([r["rows"], r["prior"], number(r["without"]), number(r["with prior"])] for r in few_labels(data)),
    )
    yield "\n### Novelty\n"
    yield "Reference set: 28 of the 57 MMLU subjects. Hit rates at a novelty of .99 and .95.\n"
    yield from table(
        ("probe", "AUROC", "hits at .99", "hits at .95"),
        ([r["probe"], *(number(r[name]) for name in ("AUROC", "at 1%", "at 5%"))] for r in novelty(data)),
    )
    yield "\n### Reading the student's answer\n"
    yield from table(
        ("router", "rows", "APGR", "AUROC"),
        ([r["router"], str(r["rows"]), interval(r["APGR"]), interval(r["AUROC"])] for r in more.cascades(data)),
    )
    yield from _guarantee(more.guarantee(data))
    yield from _cost(data)


def _guarantee(kept: dict[str, Any]) -> Iterator[str]:
    yield "\n### The guarantee\n"
    yield (
        f"A floor of {kept['floor']:.0%} of the teacher's quality with {kept['confidence']:.0%} confidence, promised "
        f"from {kept['rows']} MMLU rows that the router was not trained on, 200 draws with replacement: broken in "
        f"**{kept['broken']:.1%}** of them against all rows, with {kept['share to the teacher']:.1%} of the requests "
        "sent to the teacher. With splits into halves, and the other half, which has noise of its own, as the judge: "
        f"{kept['broken on the other half']:.1%}."
    )


def _cost(data: Data) -> Iterator[str]:
    yield "\n### What a decision costs\n"
    prompts = more.plain_texts(data)
    yield from table(("measure", "value"), ([name, f"{value:.2f}"] for name, value in more.speed(prompts).items()))
    same = {where: "yes" if equal else "NO" for where, equal in more.identical(prompts).items()}
    yield (
        "\n10,000 decisions bit-identical to those of one thread: "
        f"from 8 threads {same['8 threads']}, from 4 processes {same['4 processes']}."
    )


def _routing(found: Iterable[tuple[str, Evaluation]]) -> Iterator[Sequence[str]]:
    for name, evaluation in found:
        for router in ("router", "length", "random"):
            measures = evaluation.measures[router]
            label = name if router == "router" else f"— {router}"
            cells = (interval(measures[m]) if m in measures else "" for m in MEASURES)
            yield [label, str(evaluation.rows) if router == "router" else "", *cells]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table with these column titles and rows of cells."""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def interval(found: Interval) -> str:
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def number(value: float) -> str:
    return f"{value:.3f}"


if __name__ == "__main__":
    main()
