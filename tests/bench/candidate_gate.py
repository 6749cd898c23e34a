"""How often the gate of a candidate is wrong, and how soon it is right: `python -m tests.bench.candidate_gate`."""

from __future__ import annotations

import numpy as np

from tests.support.paired import LENGTH, answers, found_at

SEEDS = 400


def main() -> None:
    """Print a line for each kind of candidate."""
    for better in (-0.1, -0.02, 0.0):
        for weighted in (False, True):
            runs = [answers(seed, better, weighted=weighted) for seed in range(SEEDS)]
            offered = sum(found_at(differences, weights) is not None for differences, weights in runs)
            dropped = sum(found_at(-differences, weights) is not None for differences, weights in runs)
            print(
                f"{100 * better:+.0f} points{', weighted' if weighted else ''}: offered {offered / SEEDS:.1%}, "
                f"dropped {dropped / SEEDS:.1%} within {LENGTH} comparisons"
            )
    for better in (0.05, 0.1, 0.2):
        found = [found_at(*answers(seed, better, length=10_000)) or 10_000 for seed in range(SEEDS)]
        median, most = np.quantile(found, [0.5, 0.9])
        print(f"{100 * better:+.0f} points: offered after {median:.0f} comparisons, 90% of them within {most:.0f}")


if __name__ == "__main__":
    main()
