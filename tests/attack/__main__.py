"""`python -m tests.attack [NAMES] [--seconds N] [--out FILE] [--list]`: exit code 1 if an attack is not held."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.attack.result import attacks, page, run, table


def main(arguments: list[str]) -> int:
    """Run the named attacks, or all, and print the outcome of each as it ends, then the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description="Attack a gateway of its own.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="attacks to run; without one, all")
    parser.add_argument("--seconds", type=float, default=30.0, help="about how long each may take (default: 30)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the page of the documentation here")
    parser.add_argument("--list", action="store_true", help="print the names, and run nothing")
    options = parser.parse_args(arguments)
    known = attacks()
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"there is no attack {', '.join(unknown)}; there are {', '.join(known)}")
    if options.list:
        print("\n".join(known))
        return 0
    results = []
    for result in run(options.names or list(known), options.seconds):
        print(f"{result.name}: {'held' if result.held else 'not held'} {result.figures}", file=sys.stderr, flush=True)
        results.append(result)
    print(table(results))
    if options.out is not None:
        command = " ".join(["python -m tests.attack", *options.names, f"--seconds {options.seconds:g}"])
        options.out.write_text(page(results, command), encoding="utf-8")
    return 0 if all(result.held for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
